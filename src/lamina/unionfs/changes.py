"""Everything that changes one tree, wired together. A union that can't be changed has none."""

from __future__ import annotations

from lamina.unionfs.copyup import CopyUp
from lamina.unionfs.dialects import FuseOverlayfsMarks
from lamina.unionfs.layer import Layer
from lamina.unionfs.linked import LinkIndex
from lamina.unionfs.making import Making
from lamina.unionfs.node import DirectoryNode
from lamina.unionfs.removing import Removing
from lamina.unionfs.renaming import Renaming
from lamina.unionfs.tree import Tree
from lamina.unionfs.work import WorkDirectory


class SettlingMaking(Making):
    """Meets no AUFS whiteout in the upper layer: every change makes it one of overlayfs's first."""

    def begin(self, parent: DirectoryNode, name: bytes) -> Layer:
        upper = super().begin(parent, name)
        assert isinstance(self._tree.marks, FuseOverlayfsMarks)
        self._tree.marks.settle(upper, parent.path, name)
        return upper


class Changes:
    """The writing half of a union with an upper directory."""

    def __init__(self, tree: Tree) -> None:
        """Opens and empties the work directory; raises what :class:`WorkDirectory` raises."""
        assert tree.upper is not None
        self.work = WorkDirectory(tree.options, tree.upper)
        self.copy_up = CopyUp(tree, self.work)
        kind = SettlingMaking if isinstance(tree.marks, FuseOverlayfsMarks) else Making
        self.making = kind(tree, self.work, self.copy_up)
        self.removing = Removing(tree, self.work, self.making)
        self.index: LinkIndex | None = None
        if tree.options.inode_index:
            try:
                self.index = tree.index = LinkIndex(tree, self.work, self.copy_up)
            except BaseException:
                self.work.close()
                raise
        self.renaming = Renaming(tree, self.copy_up, self.making, self.removing)

    def close(self) -> None:
        """Idempotent."""
        if self.index is not None:
            self.index.close()
        self.work.close()


def open_changes(tree: Tree) -> Changes | None:
    """The writing half of ``tree``; ``None`` without an upper directory and when it is to be read-only."""
    return None if tree.upper is None or tree.options.read_only else Changes(tree)
