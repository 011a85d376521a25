"""What the union knows about a name that was looked up.

A node is one file or directory of the merged tree: where its upper version is, where its lower ones are. Only
directories know paths; a file's is its parent's and its name, so renaming a directory touches directories only and a
file costs little memory.
"""

from __future__ import annotations

import os
import stat

from lamina.unionfs.layer import ROOT, LowerDirectory


class Node:
    """A file of any kind but a directory, or the common part of a :class:`DirectoryNode`."""

    __slots__ = (
        "aliases",
        "bare",
        "descriptors",
        "id",
        "kind",
        "last",
        "lookups",
        "lower",
        "name",
        "number",
        "parent",
        "told",
        "upper",
    )

    def __init__(self, parent: DirectoryNode | None, name: bytes, kind: int, number: int) -> None:
        #: Given by whoever refers to nodes by number (the FUSE server); 0 until then.
        self.id = 0
        #: ``None`` for the root and for what has no name (any more).
        self.parent = parent
        self.name = name
        #: ``S_IFMT`` of the mode; never changes.
        self.kind = kind
        #: The inode number shown, the same before and after copy-up.
        self.number = number
        #: Whether the upper layer has it: then that version counts.
        self.upper = False
        #: The lower directory that has it, for a file that is not (yet) in the upper layer.
        self.lower: LowerDirectory | None = None
        #: How often the kernel was told of it.
        self.lookups = 0
        #: More names of the same upper file.
        self.aliases: list[tuple[DirectoryNode, bytes]] | None = None
        #: Open descriptors of its current version, to be reached by when it has no name.
        self.descriptors: list[int] | None = None
        #: Known to have no capability and no access control list.
        self.bare = False
        #: Whether who refers to nodes by number was told its attributes since it was last opened for writing.
        self.told = False
        #: What was known when its last name went; then it has one link less.
        self.last: os.stat_result | None = None

    @property
    def is_directory(self) -> bool:
        return self.kind == stat.S_IFDIR


class DirectoryNode(Node):
    """A directory, merged or not."""

    __slots__ = ("anchors", "children", "complete", "default_acl", "lower_path", "lowers", "path")

    def __init__(self, parent: DirectoryNode | None, name: bytes, number: int) -> None:
        super().__init__(parent, name, stat.S_IFDIR, number)
        #: Nodes by name. Names that were not looked up are missing.
        self.children: dict[bytes, Node] = {}
        #: No name is missing from ``children``.
        self.complete = False
        #: Its lower parts, top first.
        self.lowers: tuple[LowerDirectory, ...] = ()
        #: In the upper layer, where it is or would be.
        self.path: bytes = ROOT if parent is None else parent.path + b"/" + name
        #: Descriptors that stand for paths of this directory that got too long.
        self.anchors: list[int] | None = None
        #: In the union of the lower layers alone; means nothing without ``lowers``.
        self.lower_path = self.path
        #: Whether new files in it inherit an access control list; ``None``: not looked.
        self.default_acl: bool | None = None

    def set_place(self, parent: DirectoryNode, name: bytes) -> list[DirectoryNode]:
        """Follow a rename, with every directory known below; those whose paths changed, parents first."""
        self.parent, self.name = parent, name
        return self.renew_paths()

    def renew_paths(self) -> list[DirectoryNode]:
        """Derive paths from the parent's again; those whose paths changed, parents first."""
        stack: list[DirectoryNode] = [self]
        changed = []
        while stack:
            node = stack.pop()
            if not node.path.startswith(b"/"):
                assert node.parent is not None
                node.path = node.parent.path + b"/" + node.name
                changed.append(node)
                stack += [child for child in node.children.values() if isinstance(child, DirectoryNode)]
        return changed


def lower_location(node: Node) -> LowerDirectory | None:
    """Layer and path of the lower version that counts; ``None`` when there is none."""
    if isinstance(node, DirectoryNode):
        return node.lowers[0] if node.lowers else None
    if node.lower is None:
        return None
    return LowerDirectory(node.lower.layer, node.lower.path + b"/" + node.name)
