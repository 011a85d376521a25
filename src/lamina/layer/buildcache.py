"""The layers that BuildKit in a ``dockerd`` keeps on the same root.

Its build cache has directories of its own in the graph driver, and keeps layers of images that are gone. Which ones,
``buildkit/snapshots.db`` says, a bbolt database. A name that occurs in its bytes counts as kept: in the worst case one
that was removed from it lately, whose page is not used again yet, is spared once more.
"""

from __future__ import annotations

from lamina.dataroot import DataRoot

_DATABASE = "buildkit/snapshots.db"
#: An id is 64 hex digits or BuildKit's own 25 digits to the base 36; anything shorter is no id to look for.
_SHORTEST = 25


class BuildCache:
    """What the build cache of one root kept when this was made."""

    __slots__ = ("_content",)

    def __init__(self, root: DataRoot) -> None:
        try:
            with open(root.sub(_DATABASE), "rb") as file:
                self._content = file.read()
        except FileNotFoundError:
            self._content = b""

    @property
    def is_empty(self) -> bool:
        """Whether there is none."""
        return not self._content

    def keeps(self, id: str) -> bool:
        """Whether the build cache needs the graph driver's directory ``id``."""
        return len(id) >= _SHORTEST and id.encode() in self._content
