"""Requests about what a directory contains.

The kernel is told that directories need no opening, so nothing says who is reading one. A listing is made when somebody
reads from the start and kept until as many have come to its end; names keep their positions in it meanwhile, so that a
reader meets every name that stays exactly once, whatever happens to others.
"""

from __future__ import annotations

import errno
import stat

from lamina.linux.fuse_protocol import (
    DIRENT,
    DIRENTPLUS,
    DIRENTPLUS_HEAD,
    FOPEN_CACHE_DIR,
    FOPEN_KEEP_CACHE,
    HEADER_IN_SIZE,
    HEADER_OUT,
    HEADER_OUT_SIZE,
    OPEN_OUT,
    READ_IN,
    Opcode,
)
from lamina.unionfs.fuse.session import LIFETIME, Handlers, Session, put_attributes
from lamina.unionfs.making import failure
from lamina.unionfs.marks import Entry
from lamina.unionfs.node import DirectoryNode, Node

#: Listings that are kept although nobody may ever come to their end.
_MOST_LISTINGS = 128
_put_head, _HEAD_SIZE = DIRENTPLUS_HEAD.pack_into, DIRENTPLUS_HEAD.size
_put_entry, _ENTRY_SIZE = DIRENT.pack_into, DIRENT.size
_PLUS_SIZE = DIRENTPLUS.size
_NO_NODE = bytes(_PLUS_SIZE - _ENTRY_SIZE)


class _Listing:
    """A directory as its readers see it."""

    __slots__ = ("entries", "readers")

    def __init__(self, entries: list[Entry | None]) -> None:
        #: ``.`` and ``..`` first; ``None`` where a name was.
        self.entries = entries
        self.readers = 0

    def renew(self, entries: list[Entry | None]) -> None:
        """Follow the directory; names that are still there keep their positions."""
        found = {entry.name: entry for entry in entries if entry is not None}
        kept = [None if entry is None else found.pop(entry.name, None) for entry in self.entries]
        self.entries = entries if kept.count(None) > len(entries) else [*kept, *found.values()]


class Directories:
    """Handlers for directories in one session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._tree = session.tree
        self._buffer = session.buffer
        self._listings: dict[DirectoryNode, _Listing] = {}
        self._reply = bytearray()

    def handlers(self) -> Handlers:
        return {
            Opcode.OPENDIR: self._opendir,
            Opcode.READDIR: self._readdir,
            Opcode.READDIRPLUS: self._readdirplus,
            Opcode.RELEASEDIR: lambda node, unique, length: self._session.done(unique),
        }

    def _opendir(self, node: Node, unique: int, length: int) -> bytes:
        if self._session.opens_no_directories:
            return self._session.error(unique, errno.ENOSYS)
        return OPEN_OUT.pack(OPEN_OUT.size, 0, unique, 0, FOPEN_CACHE_DIR | FOPEN_KEEP_CACHE, 0)

    def _listing(self, node: DirectoryNode, offset: int) -> _Listing:
        listing = self._listings.get(node)
        if listing is None or offset == 0:
            self._session.discard_prepared(node)  # being read is an access
            parent = node.parent or node
            dots = Entry(b".", stat.S_IFDIR, node.number), Entry(b"..", stat.S_IFDIR, parent.number)
            entries: list[Entry | None] = [*dots, *self._tree.listing(node)]
            if listing is None:
                listing = self._listings[node] = _Listing(entries)
                if len(self._listings) > _MOST_LISTINGS:
                    del self._listings[next(iter(self._listings))]
            else:
                listing.renew(entries)
            listing.readers += 1
        return listing

    def _at_end(self, node: DirectoryNode, listing: _Listing) -> None:
        """A reader came to the end."""
        listing.readers -= 1
        if listing.readers <= 0:
            self._listings.pop(node, None)
            children = node.children
            node.complete = all(entry is None or entry.name in children for entry in listing.entries[2:])

    def _room(self, length: int) -> bytearray:
        if len(self._reply) < length:
            self._reply = bytearray(length)
        return self._reply

    def _readdir(self, node: Node, unique: int, length: int) -> bytes:
        if not isinstance(node, DirectoryNode):
            raise failure(errno.ENOTDIR)
        _, offset, size, *_ = READ_IN.unpack_from(self._buffer, HEADER_IN_SIZE)
        reply = bytearray(HEADER_OUT_SIZE)
        listing = self._listing(node, offset)
        for position, entry in enumerate(listing.entries[offset:], offset + 1):
            if entry is None:
                continue
            name, kind, number = entry
            record = DIRENT.pack(number, position, len(name), kind >> 12) + name
            record += bytes(-len(record) % 8)
            if len(reply) + len(record) > size + HEADER_OUT_SIZE:
                break
            reply += record
        if len(reply) == HEADER_OUT_SIZE:
            self._at_end(node, listing)
        HEADER_OUT.pack_into(reply, 0, len(reply), 0, unique)
        return bytes(reply)

    def _readdirplus(self, node: Node, unique: int, length: int) -> memoryview:
        if not isinstance(node, DirectoryNode):
            raise failure(errno.ENOTDIR)
        _, offset, size, *_ = READ_IN.unpack_from(self._buffer, HEADER_IN_SIZE)
        end = size + HEADER_OUT_SIZE
        reply = self._room(end)
        place = HEADER_OUT_SIZE
        listing = self._listing(node, offset)
        for position, entry in enumerate(listing.entries[offset:], offset + 1):
            if entry is None:
                continue
            name, kind, number = entry
            after = place + _PLUS_SIZE + len(name)
            padding = -after % 8
            if after + padding > end:
                break
            if position <= 2:
                reply[place : place + len(_NO_NODE)] = _NO_NODE
            elif not self._put_node(reply, place, node, name):
                continue
            _put_entry(reply, place + len(_NO_NODE), number, position, len(name), kind >> 12)
            reply[place + _PLUS_SIZE : after + padding] = name + bytes(padding)
            place = after + padding
        if place == HEADER_OUT_SIZE:
            self._at_end(node, listing)
        HEADER_OUT.pack_into(reply, 0, place, 0, unique)
        return memoryview(reply)[:place]

    def _put_node(self, reply: bytearray, place: int, directory: DirectoryNode, name: bytes) -> bool:
        """Tell of the node of ``name``; ``False`` for a name that went meanwhile."""
        tree = self._tree
        tree.found = None
        node = directory.children.get(name) or tree.lookup(directory, name)
        if node is None:
            return False
        if node.lookups and (not node.upper or (node.told and node.kind != stat.S_IFDIR)):  # the kernel knows it
            reply[place : place + len(_NO_NODE)] = _NO_NODE
            return True
        try:
            status = tree.found or tree.status(node)
        except FileNotFoundError:
            return False
        node.told = True
        _put_head(reply, place, self._session.count(node), 0, LIFETIME, LIFETIME, 0, 0)
        put_attributes(reply, place + _HEAD_SIZE, node, status)
        return True
