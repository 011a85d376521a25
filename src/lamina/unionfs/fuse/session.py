"""What the handlers of one mount share: the tree, the nodes that the kernel knows, and how replies look."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable

from lamina.linux.fuse_protocol import (
    ATTR_OUT,
    ENTRY_OUT,
    HEADER_OUT,
    HEADER_OUT_SIZE,
    ROOT_ID,
    Opcode,
)
from lamina.unionfs.attributes import Attributes
from lamina.unionfs.changes import Changes
from lamina.unionfs.making import failure
from lamina.unionfs.node import DirectoryNode, Node
from lamina.unionfs.tree import Tree

#: Answers one request: the node it is about, its unique number and its length in the buffer. ``None``: no reply, or it
#: was sent already, or will be.
Handler = Callable[[Node, int, int], bytes | None]
Handlers = dict[Opcode, Handler]

#: How long the kernel may keep names and attributes, in seconds. Only the mount itself changes them.
LIFETIME = 86400
_BILLION = 1_000_000_000
_NO_NODE = ENTRY_OUT.pack(*([0] * 5), LIFETIME, *([0] * 19))[HEADER_OUT_SIZE:]

#: The 16 fields of ``struct fuse_attr``, all whole numbers (type stubs call a status's seconds floats).
AttributeFields = tuple[float, ...]


def attribute_fields(node: Node, status: os.stat_result) -> AttributeFields:
    """``struct fuse_attr`` of a node."""
    mode, _, _, links, uid, gid, size, access, modify, change = status
    if node.last is not None:
        links = 0 if node.is_directory else max(0, links - 1)
    elif node.kind == stat.S_IFDIR and isinstance(node, DirectoryNode) and node.lowers:
        links = 1
    return (
        node.number,
        size,
        status.st_blocks,
        access,
        modify,
        change,
        status.st_atime_ns - access * _BILLION,
        status.st_mtime_ns - modify * _BILLION,
        status.st_ctime_ns - change * _BILLION,
        mode,
        links,
        uid,
        gid,
        status.st_rdev & 0xFFFFFFFF,
        status.st_blksize,
        0,
    )


class Session:
    """One connection's state. Everything here runs in the thread of the request loop."""

    def __init__(self, tree: Tree, changes: Changes | None, device: int, buffer: bytearray) -> None:
        self.tree = tree
        self.changes_or_none = changes
        self.attributes = Attributes(tree, None if changes is None else changes.copy_up)
        self.device = device
        self.buffer = buffer
        self.view = memoryview(buffer)
        self.nodes: dict[int, Node] = {ROOT_ID: tree.root}
        self._next_id = ROOT_ID + 1
        tree.root.id = ROOT_ID
        tree.root.lookups = 1
        #: Called with a node that the kernel let go of.
        self.on_forget: Callable[[Node], None] = lambda node: None

    @property
    def changes(self) -> Changes:
        """The writing half; ``EROFS`` without one."""
        if self.changes_or_none is None:
            raise failure(errno.EROFS)
        return self.changes_or_none

    def name(self, start: int, length: int) -> bytes:
        """The name at the end of a request; the kernel sends it with a NUL."""
        return bytes(self.view[start : length - 1])

    def count(self, node: Node) -> int:
        """The number of a node that the kernel is about to be told once more."""
        node.lookups += 1
        if not node.id:
            node.id = self._next_id
            self._next_id += 1
            self.nodes[node.id] = node
        return node.id

    def entry(self, unique: int, node: Node, status: os.stat_result) -> bytes:
        """The reply that tells the kernel of a node."""
        return ENTRY_OUT.pack(
            ENTRY_OUT.size,
            0,
            unique,
            self.count(node),
            0,
            LIFETIME,
            LIFETIME,
            0,
            0,
            *attribute_fields(node, status),
        )

    @staticmethod
    def no_entry(unique: int) -> bytes:
        """The reply that there is no such name, which the kernel remembers."""
        return HEADER_OUT.pack(ENTRY_OUT.size, 0, unique) + _NO_NODE

    @staticmethod
    def attribute_reply(unique: int, node: Node, status: os.stat_result) -> bytes:
        return ATTR_OUT.pack(ATTR_OUT.size, 0, unique, LIFETIME, 0, 0, *attribute_fields(node, status))

    @staticmethod
    def done(unique: int) -> bytes:
        """The reply that says no more than that it worked."""
        return HEADER_OUT.pack(HEADER_OUT_SIZE, 0, unique)

    @staticmethod
    def error(unique: int, number: int | None) -> bytes:
        return HEADER_OUT.pack(HEADER_OUT_SIZE, -(number or errno.EIO), unique)

    def forget(self, node_id: int, times: int) -> None:
        """The kernel lets go of a node ``times`` times."""
        node = self.nodes.get(node_id)
        if node is None:
            return
        node.lookups -= times
        self._drop(node)

    def _drop(self, node: Node) -> None:
        """Forget what nobody refers to; a directory waits for its children."""
        while node.lookups <= 0 and not (isinstance(node, DirectoryNode) and node.children):
            parent = node.parent
            self.nodes.pop(node.id, None)
            self.on_forget(node)
            self.tree.forget(node)
            if parent is None or parent is self.tree.root:
                return
            node = parent

    def kill_privileges(self, node: Node) -> None:
        """Take set-user-ID and (where it means execution) set-group-ID away, as a write must."""
        mode = stat.S_IMODE(self.tree.status(node).st_mode)
        kept = mode & ~stat.S_ISUID
        if mode & stat.S_IXGRP:
            kept &= ~stat.S_ISGID
        if kept != mode:
            self.attributes.chmod(node, kept)
