"""Requests about what a directory contains. An open directory is a snapshot, taken when it is read from the start."""

from __future__ import annotations

import errno
import stat
from typing import NamedTuple

from lamina.linux.fuse_protocol import (
    DIRENT,
    DIRENTPLUS,
    FOPEN_CACHE_DIR,
    FOPEN_KEEP_CACHE,
    HEADER_IN_SIZE,
    HEADER_OUT,
    HEADER_OUT_SIZE,
    OPEN_OUT,
    READ_IN,
    RELEASE_IN,
    Opcode,
)
from lamina.unionfs.fuse.session import LIFETIME, Handlers, Session, attribute_fields
from lamina.unionfs.making import failure
from lamina.unionfs.marks import Entry
from lamina.unionfs.node import DirectoryNode, Node


class _Dots(NamedTuple):
    """What every listing begins with."""

    entries: tuple[Entry, Entry]

    @classmethod
    def of(cls, node: DirectoryNode) -> _Dots:
        parent = node.parent or node
        return cls((Entry(b".", stat.S_IFDIR, node.number), Entry(b"..", stat.S_IFDIR, parent.number)))


class Directories:
    """Handlers for open directories in one session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._tree = session.tree
        self._buffer = session.buffer
        self._open: dict[int, list[Entry]] = {}
        self._next = 1

    def handlers(self) -> Handlers:
        return {
            Opcode.OPENDIR: self._opendir,
            Opcode.READDIR: self._readdir,
            Opcode.READDIRPLUS: self._readdirplus,
            Opcode.RELEASEDIR: self._releasedir,
        }

    def _opendir(self, node: Node, unique: int, length: int) -> bytes:
        handle = self._next
        self._next += 1
        return OPEN_OUT.pack(OPEN_OUT.size, 0, unique, handle, FOPEN_CACHE_DIR | FOPEN_KEEP_CACHE, 0)

    def _releasedir(self, node: Node, unique: int, length: int) -> bytes:
        self._open.pop(RELEASE_IN.unpack_from(self._buffer, HEADER_IN_SIZE)[0], None)
        return self._session.done(unique)

    def _entries(self, node: Node, handle: int, offset: int) -> list[Entry]:
        entries = self._open.get(handle)
        if entries is None or offset == 0:
            if not isinstance(node, DirectoryNode):
                raise failure(errno.ENOTDIR)
            entries = self._open[handle] = [*_Dots.of(node).entries, *self._tree.listing(node)]
        return entries

    def _readdir(self, node: Node, unique: int, length: int) -> bytes:
        handle, offset, size, *_ = READ_IN.unpack_from(self._buffer, HEADER_IN_SIZE)
        reply = bytearray(HEADER_OUT_SIZE)
        room = size + HEADER_OUT_SIZE
        entries = self._entries(node, handle, offset)
        for position in range(offset, len(entries)):
            name, kind, number = entries[position]
            record = DIRENT.pack(number, position + 1, len(name), kind >> 12) + name
            record += bytes(-len(record) % 8)
            if len(reply) + len(record) > room:
                break
            reply += record
        HEADER_OUT.pack_into(reply, 0, len(reply), 0, unique)
        return bytes(reply)

    def _readdirplus(self, node: Node, unique: int, length: int) -> bytes:
        assert isinstance(node, DirectoryNode)
        handle, offset, size, *_ = READ_IN.unpack_from(self._buffer, HEADER_IN_SIZE)
        reply = bytearray(HEADER_OUT_SIZE)
        room = size + HEADER_OUT_SIZE
        entries = self._entries(node, handle, offset)
        for position in range(offset, len(entries)):
            entry = entries[position]
            need = DIRENTPLUS.size + len(entry.name)
            if len(reply) + need + -need % 8 > room:
                break
            record = self._plus(node, entry, position + 1)
            if record is not None:
                reply += record
                reply += bytes(-need % 8)
        HEADER_OUT.pack_into(reply, 0, len(reply), 0, unique)
        return bytes(reply)

    def _plus(self, directory: DirectoryNode, entry: Entry, position: int) -> bytes | None:
        """One record; ``None`` for a name that went meanwhile."""
        name, kind, number = entry
        if position <= 2:
            return DIRENTPLUS.pack(*([0] * 22), number, position, len(name), kind >> 12) + name
        tree = self._tree
        tree.found = None
        node = tree.lookup(directory, name)
        if node is None:
            return None
        try:
            status = tree.found or tree.status(node)
        except FileNotFoundError:
            return None
        fields = attribute_fields(node, status)
        identity = self._session.count(node)
        return (
            DIRENTPLUS.pack(
                identity, 0, LIFETIME, LIFETIME, 0, 0, *fields, node.number, position, len(name), kind >> 12
            )
            + name
        )
