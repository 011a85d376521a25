"""Other owners, links, sizes on disk, no extended attributes: translated in requests and replies around the handlers.

Only a mount that asks for it has any of this; the handlers themselves know nothing of it.
"""

from __future__ import annotations

import errno
import os
import stat
from struct import Struct

from lamina.linux.fuse_protocol import (
    ATTR_OUT,
    CALLER,
    CALLER_AT,
    CREATE_OUT,
    DIRENTPLUS,
    ENTRY_OUT,
    HEADER_IN_SIZE,
    HEADER_OUT_SIZE,
    Opcode,
    SetAttribute,
)
from lamina.unionfs.fuse.session import Handler, Reply, Session
from lamina.unionfs.node import DirectoryNode, Node
from lamina.unionfs.options import Dialect, MountOptions
from lamina.unionfs.owners import Owners, directory_links

_U32 = Struct("=I")
_U64 = Struct("=Q")
#: Valid fields, and owner and group, in ``struct fuse_setattr_in``.
_NEW_OWNER_AT = HEADER_IN_SIZE + 76
#: Mode, links, owner and group, and where they are in ``struct fuse_attr``.
_FIELDS = Struct("=IIII")
_FIELDS_AT = 60
_BLOCKS_AT = 16
#: Where ``struct fuse_attr`` is in a reply with an entry, in one without, and in a record of ``READDIRPLUS``.
_IN_ENTRY = HEADER_OUT_SIZE + 40
_IN_ATTRIBUTES = HEADER_OUT_SIZE + 16
_IN_RECORD = 40
#: Length of a record's name in ``struct fuse_direntplus``.
_NAME_LENGTH_AT = DIRENTPLUS.size - 8

_MAKING = (Opcode.SYMLINK, Opcode.MKNOD, Opcode.MKDIR, Opcode.CREATE, Opcode.TMPFILE)
_WITH_ENTRY = (Opcode.LOOKUP, Opcode.LINK, *_MAKING)
_EXTENDED = (Opcode.GETXATTR, Opcode.LISTXATTR, Opcode.SETXATTR, Opcode.REMOVEXATTR)


def present(session: Session, table: list[Handler]) -> None:
    """Put around the handlers in ``table`` what the mount's options ask for."""
    options = session.tree.options
    if options.noxattrs:
        for opcode in _EXTENDED:
            table[opcode] = lambda node, unique, length: session.error(unique, errno.ENOSYS)
    if _changes_anything(options):
        _Presentation(session).wrap(table)


def _changes_anything(options: MountOptions) -> bool:
    counting = options.static_nlink or options.dialect is Dialect.FUSE_OVERLAYFS
    return options.metacopy or options.inode_index or counting or not Owners.of(options).plain


class _Presentation:
    def __init__(self, session: Session) -> None:
        self._session = session
        self._buffer = session.buffer
        self._tree = session.tree
        self._owners = Owners.of(session.tree.options)
        options = session.tree.options
        self._links = options.static_nlink or options.dialect is Dialect.FUSE_OVERLAYFS

    def wrap(self, table: list[Handler]) -> None:
        for opcode in _WITH_ENTRY:
            table[opcode] = self._entry(table[opcode], by_caller=opcode in _MAKING)
        table[Opcode.GETATTR] = self._attributes(table[Opcode.GETATTR])
        table[Opcode.SETATTR] = self._attributes(self._stored_owner(table[Opcode.SETATTR]))
        table[Opcode.READDIRPLUS] = self._records(table[Opcode.READDIRPLUS])

    def _entry(self, handler: Handler, *, by_caller: bool) -> Handler:
        inner = self._stored_caller(handler) if by_caller else handler

        def handle(node: Node, unique: int, length: int) -> Reply | None:
            reply = inner(node, unique, length)
            if reply is None or len(reply) not in (ENTRY_OUT.size, CREATE_OUT.size):
                return reply
            changed = bytearray(reply)
            (identity,) = _U64.unpack_from(changed, HEADER_OUT_SIZE)
            self._show(changed, _IN_ENTRY, self._session.nodes.get(identity))
            return bytes(changed)

        return handle

    def _attributes(self, handler: Handler) -> Handler:

        def handle(node: Node, unique: int, length: int) -> Reply | None:
            reply = handler(node, unique, length)
            if reply is None or len(reply) != ATTR_OUT.size:
                return reply
            changed = bytearray(reply)
            self._show(changed, _IN_ATTRIBUTES, node)
            return bytes(changed)

        return handle

    def _records(self, handler: Handler) -> Handler:

        def handle(node: Node, unique: int, length: int) -> Reply | None:
            reply = handler(node, unique, length)
            if reply is None:
                return None
            changed = bytearray(reply)
            place = HEADER_OUT_SIZE
            while place < len(changed):
                (identity,) = _U64.unpack_from(changed, place)
                self._show(changed, place + _IN_RECORD, self._session.nodes.get(identity))
                (name,) = _U32.unpack_from(changed, place + _NAME_LENGTH_AT)
                size = DIRENTPLUS.size + name
                place += size + -size % 8
            return bytes(changed)

        return handle

    def _show(self, reply: bytearray, place: int, node: Node | None) -> None:
        """Translate the attributes at ``place``; none are there without a node."""
        if node is None:
            return
        mode, links, uid, gid = _FIELDS.unpack_from(reply, place + _FIELDS_AT)
        if self._links and stat.S_ISDIR(mode) and node.last is None and isinstance(node, DirectoryNode):
            links = directory_links(self._tree, node, links)
        if self._tree.index is not None:
            links = self._tree.index.shown_links(node, links)
        if node in self._tree.metacopies:
            directory, path = self._tree.data_place(node)
            blocks = os.stat(path, dir_fd=directory, follow_symlinks=False).st_blocks
            _U64.pack_into(reply, place + _BLOCKS_AT, blocks)
        uid, gid = self._owners.users.shown(uid), self._owners.groups.shown(gid)
        _FIELDS.pack_into(reply, place + _FIELDS_AT, mode, links, uid, gid)

    def _stored_caller(self, handler: Handler) -> Handler:
        """With the caller's numbers as they are stored, for new files."""

        def handle(node: Node, unique: int, length: int) -> Reply | None:
            caller = CALLER.unpack_from(self._buffer, CALLER_AT)
            uid, gid = self._owners.users.stored(caller[0]), self._owners.groups.stored(caller[1])
            CALLER.pack_into(self._buffer, CALLER_AT, uid, gid)
            try:
                return handler(node, unique, length)
            finally:  # a request may be kept to be answered later
                CALLER.pack_into(self._buffer, CALLER_AT, *caller)

        return handle

    def _stored_owner(self, handler: Handler) -> Handler:
        """With a new owner's numbers as they are stored."""

        def handle(node: Node, unique: int, length: int) -> Reply | None:
            (valid,) = _U32.unpack_from(self._buffer, HEADER_IN_SIZE)
            owner = uid, gid = CALLER.unpack_from(self._buffer, _NEW_OWNER_AT)
            if valid & SetAttribute.UID:
                uid = self._owners.users.stored(uid)
            if valid & SetAttribute.GID:
                gid = self._owners.groups.stored(gid)
            CALLER.pack_into(self._buffer, _NEW_OWNER_AT, uid, gid)
            try:
                return handler(node, unique, length)
            finally:
                CALLER.pack_into(self._buffer, _NEW_OWNER_AT, *owner)

        return handle
