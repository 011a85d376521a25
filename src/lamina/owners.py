"""Who owns on the host what somebody owns in a container: Docker's identity mapping (``userns-remap``).

A data root whose containers run in a user namespace keeps their files with the owners that they have on the host.
Images know only the owners inside, so that they are the same everywhere.
"""

from __future__ import annotations

from lamina.errors import InvalidArgument
from lamina.typing import NamedTuple

#: Who everybody is inside that has no number there (``/proc/sys/kernel/overflowuid``).
NOBODY = 65534


class UnmappedOwner(InvalidArgument):
    """An image has files of somebody for whom the range of ids is too short."""

    def __init__(self, id: int) -> None:
        super().__init__(f"Container ID {id} cannot be mapped to a host ID")


class Range(NamedTuple):
    """``size`` ids: from ``inside`` on in containers, from ``outside`` on on the host."""

    inside: int
    outside: int
    size: int


class Owners(NamedTuple):
    """A mapping; without ranges everybody is who they are."""

    uids: tuple[Range, ...] = ()
    gids: tuple[Range, ...] = ()

    @property
    def are_mapped(self) -> bool:
        return bool(self.uids)

    @property
    def root(self) -> tuple[int, int]:
        """User and group on the host of the containers' root."""
        return self.on_host(0, 0)

    def on_host(self, uid: int, gid: int) -> tuple[int, int]:
        """Raises :class:`UnmappedOwner`."""
        if not self.uids:
            return uid, gid
        return _outside(self.uids, uid), _outside(self.gids, gid)

    def inside(self, uid: int, gid: int) -> tuple[int, int]:
        """As processes in containers see them: somebody else's files are nobody's."""
        if not self.uids:
            return uid, gid
        return _inside(self.uids, uid), _inside(self.gids, gid)


def _outside(ranges: tuple[Range, ...], id: int) -> int:
    for one in ranges:
        if one.inside <= id < one.inside + one.size:
            return one.outside + id - one.inside
    raise UnmappedOwner(id)


def _inside(ranges: tuple[Range, ...], id: int) -> int:
    for one in ranges:
        if one.outside <= id < one.outside + one.size:
            return one.inside + id - one.outside
    return NOBODY


#: Everybody is who they are.
SAME = Owners()
