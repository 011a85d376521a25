"""Requests about attributes: status, mode, owner, times, size, extended attributes, the file system's size."""

from __future__ import annotations

import errno
import os
import stat
import time

from lamina.linux.fuse_protocol import (
    GETXATTR_IN,
    GETXATTR_OUT,
    HEADER_IN_SIZE,
    HEADER_OUT,
    HEADER_OUT_SIZE,
    SETATTR_IN,
    SETXATTR_ACL_KILL_SGID,
    SETXATTR_IN,
    STATFS_OUT,
    Opcode,
    SetAttribute,
)
from lamina.unionfs import grammar
from lamina.unionfs.fuse.session import Handlers, Session
from lamina.unionfs.making import failure
from lamina.unionfs.node import DirectoryNode, Node

_BILLION = 1_000_000_000
# plain numbers: operations of enumerations cost more than the system calls around them
_MODE = int(SetAttribute.MODE)
_UID, _GID = int(SetAttribute.UID), int(SetAttribute.GID)
_OWNER = _UID | _GID
_SIZE = int(SetAttribute.SIZE)
_ATIME, _MTIME = int(SetAttribute.ATIME), int(SetAttribute.MTIME)
_TIMES = _ATIME | _MTIME
_HANDLE = int(SetAttribute.FH)
_KILL = int(SetAttribute.KILL_SUIDGID)
_ATIME_NOW, _MTIME_NOW = int(SetAttribute.ATIME_NOW), int(SetAttribute.MTIME_NOW)
_NOW = _ATIME_NOW | _MTIME_NOW

#: What the kernel asks for at every turn; a file known to be bare has none.
_COMMON = frozenset({b"security.capability", b"system.posix_acl_access", b"system.posix_acl_default"})


_pack_header = HEADER_OUT.pack
_ATTRIBUTE_NAME = HEADER_IN_SIZE + GETXATTR_IN.size

#: Of a mount's root, not listed: what the union is made of, as ``-o`` says it.
OPTIONS_ATTRIBUTE = b"user.lamina.options"


class Metadata:
    """Handlers for attributes in one session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._tree = session.tree
        self._attributes = session.attributes
        self._buffer = session.buffer

    def handlers(self) -> Handlers:
        return {
            Opcode.GETATTR: self._getattr,
            Opcode.SETATTR: self._setattr,
            Opcode.GETXATTR: self._getxattr,
            Opcode.LISTXATTR: self._listxattr,
            Opcode.SETXATTR: self._setxattr,
            Opcode.REMOVEXATTR: self._removexattr,
            Opcode.STATFS: self._statfs,
        }

    def _getattr(self, node: Node, unique: int, length: int) -> bytearray:
        return self._session.attribute_reply(unique, node)

    def _setattr(self, node: Node, unique: int, length: int) -> bytearray:
        fields = SETATTR_IN.unpack_from(self._buffer, HEADER_IN_SIZE)
        valid, handle, size, mode = fields[0], fields[2], fields[3], fields[11]
        self._session.discard_prepared(node)
        if valid & _OWNER:
            uid = fields[13] if valid & _UID else -1
            gid = fields[14] if valid & _GID else -1
            self._attributes.chown(node, uid, gid)  # takes set-user-ID and such away by itself
            valid &= ~_KILL
        if valid & _MODE:
            self._attributes.chmod(node, stat.S_IMODE(mode))
        if valid & _SIZE:
            if valid & _HANDLE:
                os.ftruncate(handle, size)
            else:
                self._attributes.truncate(node, size)
        if valid & _TIMES:
            self._set_times(node, valid, fields)
        if valid & _KILL or not fields[0]:
            self._session.kill_privileges(node)
        return self._session.attribute_reply(unique, node)

    def _set_times(self, node: Node, valid: int, fields: tuple[int, ...]) -> None:
        if valid & _TIMES == _TIMES and valid & _NOW == _NOW:
            self._attributes.set_times(node, None)
            return
        status = None if valid & _TIMES == _TIMES else self._tree.status(node)
        now = time.time_ns()
        access = fields[5] * _BILLION + fields[8]
        modify = fields[6] * _BILLION + fields[9]
        if valid & _ATIME_NOW:
            access = now
        elif not valid & _ATIME and status is not None:
            access = status.st_atime_ns
        if valid & _MTIME_NOW:
            modify = now
        elif not valid & _MTIME and status is not None:
            modify = status.st_mtime_ns
        self._attributes.set_times(node, (access, modify))

    def _getxattr(self, node: Node, unique: int, length: int) -> bytes:
        name = self._session.name(_ATTRIBUTE_NAME, length)
        if node.bare and name in _COMMON and not (isinstance(node, DirectoryNode) and node.default_acl):
            return _pack_header(HEADER_OUT_SIZE, -errno.ENODATA, unique)
        (size, _) = GETXATTR_IN.unpack_from(self._buffer, HEADER_IN_SIZE)
        try:
            value = self._attributes.get(node, os.fsdecode(name))
        except OSError as error:
            if name != OPTIONS_ATTRIBUTE or node is not self._session.tree.root:
                return self._session.error(unique, error.errno)
            value = os.fsencode(grammar.format(self._session.tree.options))
        return self._sized(unique, size, value)

    def _listxattr(self, node: Node, unique: int, length: int) -> bytes:
        (size, _) = GETXATTR_IN.unpack_from(self._buffer, HEADER_IN_SIZE)
        names = self._attributes.list(node)
        return self._sized(unique, size, b"".join(os.fsencode(name) + b"\0" for name in names))

    def _sized(self, unique: int, size: int, value: bytes) -> bytes:
        """A value, or its size for who asks with no room."""
        if size == 0:
            return GETXATTR_OUT.pack(GETXATTR_OUT.size, 0, unique, len(value), 0)
        if len(value) > size:
            raise failure(errno.ERANGE)
        return HEADER_OUT.pack(HEADER_OUT_SIZE + len(value), 0, unique) + value

    def _setxattr(self, node: Node, unique: int, length: int) -> bytes:
        size, flags, more, _ = SETXATTR_IN.unpack_from(self._buffer, HEADER_IN_SIZE)
        start = HEADER_IN_SIZE + SETXATTR_IN.size
        name, _, rest = bytes(self._session.view[start:length]).partition(b"\0")
        self._session.discard_prepared(node)
        self._attributes.set(node, os.fsdecode(name), rest[:size], flags)
        if more & SETXATTR_ACL_KILL_SGID:
            mode = stat.S_IMODE(self._tree.status(node).st_mode)
            if mode & stat.S_ISGID:
                self._attributes.chmod(node, mode & ~stat.S_ISGID)
        return self._session.done(unique)

    def _removexattr(self, node: Node, unique: int, length: int) -> bytes:
        self._session.discard_prepared(node)
        self._attributes.remove(node, os.fsdecode(self._session.name(HEADER_IN_SIZE, length)))
        return self._session.done(unique)

    def _statfs(self, node: Node, unique: int, length: int) -> bytes:
        layer = self._tree.upper or self._tree.lowers[0]
        found = os.statvfs(layer.prefix)
        return STATFS_OUT.pack(
            STATFS_OUT.size,
            0,
            unique,
            found.f_blocks,
            found.f_bfree,
            found.f_bavail,
            found.f_files,
            found.f_ffree,
            found.f_bsize,
            found.f_namemax,
            found.f_frsize,
            0,
        )
