"""What ``lamina system fsck`` finds."""

from __future__ import annotations

from collections.abc import Callable

from lamina.typing import NamedTuple

#: Nothing refers to it: it only takes up space.
ORPHAN = "orphan"
#: It contradicts itself, or what refers to it.
DAMAGED = "damaged"
#: Something refers to it and it is not there.
MISSING = "missing"


class Finding(NamedTuple):
    """One thing that is wrong.

    :ivar kind: :data:`ORPHAN`, :data:`DAMAGED` or :data:`MISSING`.
    :ivar path: absolute host path.
    :ivar what: one line for a person.
    :ivar repairable: whether a repair mends or reclaims it without losing anything that an image or container needs.
    :ivar size: bytes that reclaiming it frees, as far as they are counted.
    :ivar repaired: whether that has been done.
    :ivar failure: why a repair did not succeed; ``""`` when it did or was not tried.
    """

    kind: str
    path: str
    what: str
    repairable: bool
    size: int = 0
    repaired: bool = False
    failure: str = ""


class Suspect(NamedTuple):
    """A finding and how it is mended; ``None`` when it can't be."""

    kind: str
    path: str
    what: str
    mend: Callable[[], object] | None = None
    size: int = 0


class Report(NamedTuple):
    """All that was found."""

    findings: list[Finding]

    @property
    def reclaimed(self) -> int:
        """Bytes that repairs freed."""
        return sum(finding.size for finding in self.findings if finding.repaired)

    @property
    def is_clean(self) -> bool:
        """Whether nothing is wrong any more."""
        return all(finding.repaired for finding in self.findings)
