"""What the handlers of one mount share: the tree, the nodes that the kernel knows, and how replies look."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from struct import Struct

from lamina.collections import deque
from lamina.linux.fuse_protocol import (
    ATTR_HEAD,
    ATTR_OUT,
    ATTRIBUTES,
    CREATE_OUT,
    ENTRY_HEAD,
    ENTRY_OUT,
    HEADER_OUT,
    HEADER_OUT_SIZE,
    OPENED,
    ROOT_ID,
    Opcode,
)
from lamina.unionfs.attributes import Attributes
from lamina.unionfs.changes import Changes
from lamina.unionfs.making import failure
from lamina.unionfs.node import DirectoryNode, Node
from lamina.unionfs.tree import Tree

#: What is written to the device.
Reply = bytes | bytearray | memoryview
#: Answers one request: the node it is about, its unique number and its length in the buffer. ``None``: no reply, or it
#: was sent already, or will be. A reply counts until the next request is answered.
Handler = Callable[[Node, int, int], Reply | None]
Handlers = dict[Opcode, Handler]

#: How long the kernel may keep names and attributes, in seconds. Only the mount itself changes them.
LIFETIME = 86400
#: So much may wait until there is nothing else to do.
_MOST_DEFERRED = 64
_BILLION = 1_000_000_000
_pack_header = HEADER_OUT.pack
_put_attributes = ATTRIBUTES.pack_into
_put_attribute_head, _HEAD_ATTRIBUTES, _ATTRIBUTES_SIZE = ATTR_HEAD.pack_into, ATTR_HEAD.size, ATTR_OUT.size
_put_unique, _UNIQUE_AT = Struct("=Q").pack_into, 8
_put_entry, _ENTRY_ATTRIBUTES, _ENTRY_SIZE = ENTRY_HEAD.pack_into, ENTRY_HEAD.size, ENTRY_OUT.size
_put_opened, _CREATED_SIZE = OPENED.pack_into, CREATE_OUT.size
_NO_NODE = ENTRY_OUT.pack(*([0] * 5), LIFETIME, *([0] * 19))[HEADER_OUT_SIZE:]


def put_attributes(reply: bytearray, place: int, node: Node, status: os.stat_result) -> None:
    """Write ``struct fuse_attr`` of a node at ``place``."""
    mode, _, _, links, uid, gid, size, access, modify, change = status
    if node.last is not None:
        links = 0 if node.is_directory else max(0, links - 1)
    elif node.kind == stat.S_IFDIR and isinstance(node, DirectoryNode) and node.lowers:
        links = 1
    _put_attributes(
        reply,
        place,
        node.number,
        size,
        status.st_blocks,
        access,
        modify,
        change,
        status.st_atime_ns % _BILLION,
        status.st_mtime_ns % _BILLION,
        status.st_ctime_ns % _BILLION,
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
        self._attribute_reply = bytearray(_ATTRIBUTES_SIZE)
        self._entry_reply = bytearray(_ENTRY_SIZE)
        self._created_reply = bytearray(_CREATED_SIZE)
        self.nodes: dict[int, Node] = {ROOT_ID: tree.root}
        self._next_id = ROOT_ID + 1
        tree.root.id = ROOT_ID
        tree.root.lookups = 1
        self._deferred: deque[tuple[Callable[[Node, int], None], Node, int]] = deque()
        #: Where a name was made or removed by the latest request that did so.
        self._changed: DirectoryNode | None = None
        #: Whose attributes are in ``_prepared_reply``.
        self._prepared: DirectoryNode | None = None
        self._prepared_reply = bytearray(_ATTRIBUTES_SIZE)
        #: The kernel reads directories without opening them.
        self.opens_no_directories = False
        #: Called with a node that the kernel let go of.
        self.on_forget: Callable[[Node], None] = lambda node: None

    @property
    def changes(self) -> Changes:
        """The writing half; ``EROFS`` without one."""
        if self.changes_or_none is None:
            raise failure(errno.EROFS)
        self._changed = self._prepared = None
        return self.changes_or_none

    def defer(self, work: Callable[[Node, int], None], node: Node, argument: int) -> None:
        """Do later, in order, what nobody waits for."""
        self._deferred.append((work, node, argument))
        if len(self._deferred) > _MOST_DEFERRED:
            self.finish_deferred()

    def finish_deferred(self) -> None:
        """Do what was deferred."""
        while self._deferred:
            work, node, argument = self._deferred.popleft()
            work(node, argument)

    def changed(self, directory: DirectoryNode) -> None:
        """A name in ``directory`` was made or removed, so the kernel is going to ask for its attributes."""
        self._changed = directory

    def use_spare_time(self) -> None:
        """To be called when there is no request and this thread has a CPU to itself: what makes later ones faster."""
        if self._deferred:
            self.finish_deferred()
        directory = self._changed
        if directory is not None:
            self._changed = None
            try:
                status = self.tree.status(directory)
            except OSError:
                return
            reply = self._prepared_reply
            _put_attribute_head(reply, 0, _ATTRIBUTES_SIZE, 0, 0, LIFETIME, 0, 0)
            put_attributes(reply, _HEAD_ATTRIBUTES, directory, status)
            self._prepared = directory

    def discard_prepared(self, node: Node) -> None:
        """``node`` is about to change, and its directory with it if it is copied up first."""
        if node is self._prepared or node is self._changed or not node.upper or self.tree.metacopies:
            self._changed = self._prepared = None

    def name(self, start: int, length: int) -> bytes:
        """The name at the end of a request; the kernel sends it with a NUL."""
        return self.view[start : length - 1].tobytes()

    def count(self, node: Node) -> int:
        """The number of a node that the kernel is about to be told once more."""
        node.lookups += 1
        return node.id or self._introduce(node)

    def _introduce(self, node: Node) -> int:
        number = node.id = self._next_id
        self._next_id = number + 1
        self.nodes[number] = node
        return number

    def entry(self, unique: int, node: Node, status: os.stat_result) -> bytearray:
        """The reply that tells the kernel of a node."""
        node.lookups += 1
        identity = node.id or self._introduce(node)
        node.told = True
        reply = self._entry_reply
        _put_entry(reply, 0, _ENTRY_SIZE, 0, unique, identity, 0, LIFETIME, LIFETIME, 0, 0)
        put_attributes(reply, _ENTRY_ATTRIBUTES, node, status)
        return reply

    def created(self, unique: int, node: Node, status: os.stat_result, opened: tuple[int, int, int]) -> bytearray:
        """The same for a file that was made, which is open: with handle, ``FOPEN_*`` flags and backing number."""
        node.lookups += 1
        identity = node.id or self._introduce(node)
        reply = self._created_reply
        _put_entry(reply, 0, _CREATED_SIZE, 0, unique, identity, 0, LIFETIME, LIFETIME, 0, 0)
        put_attributes(reply, _ENTRY_ATTRIBUTES, node, status)
        _put_opened(reply, _ENTRY_SIZE, *opened)
        return reply

    @staticmethod
    def no_entry(unique: int) -> bytes:
        """The reply that there is no such name, which the kernel remembers."""
        return _pack_header(_ENTRY_SIZE, 0, unique) + _NO_NODE

    def attribute_reply(self, unique: int, node: Node) -> bytearray:
        """The reply that tells what a node is like."""
        node.told = True
        if node is self._prepared:
            _put_unique(self._prepared_reply, _UNIQUE_AT, unique)
            return self._prepared_reply
        status = self.tree.status(node)
        reply = self._attribute_reply
        _put_attribute_head(reply, 0, _ATTRIBUTES_SIZE, 0, unique, LIFETIME, 0, 0)
        put_attributes(reply, _HEAD_ATTRIBUTES, node, status)
        return reply

    @staticmethod
    def done(unique: int) -> bytes:
        """The reply that says no more than that it worked."""
        return _pack_header(HEADER_OUT_SIZE, 0, unique)

    @staticmethod
    def error(unique: int, number: int | None) -> bytes:
        return _pack_header(HEADER_OUT_SIZE, -(number or errno.EIO), unique)

    def let_go(self, node: Node, times: int) -> None:
        """The kernel forgets a node ``times`` times."""
        node.lookups -= times
        if node.lookups <= 0:
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
