"""Everything that changes one tree, wired together. A union that can't be changed has none."""

from __future__ import annotations

from lamina.unionfs.copyup import CopyUp
from lamina.unionfs.making import Making
from lamina.unionfs.removing import Removing
from lamina.unionfs.renaming import Renaming
from lamina.unionfs.tree import Tree
from lamina.unionfs.work import WorkDirectory


class Changes:
    """The writing half of a union with an upper directory."""

    def __init__(self, tree: Tree) -> None:
        """Opens and empties the work directory; raises what :class:`WorkDirectory` raises."""
        assert tree.upper is not None
        self.work = WorkDirectory(tree.options, tree.upper)
        self.copy_up = CopyUp(tree, self.work)
        self.making = Making(tree, self.work, self.copy_up)
        self.removing = Removing(tree, self.work, self.making)
        self.renaming = Renaming(tree, self.copy_up, self.making, self.removing)

    def close(self) -> None:
        """Idempotent."""
        self.work.close()


def open_changes(tree: Tree) -> Changes | None:
    """The writing half of ``tree``; ``None`` without an upper directory and when it is to be read-only."""
    return None if tree.upper is None or tree.options.read_only else Changes(tree)
