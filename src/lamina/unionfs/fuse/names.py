"""Requests about names: look up, make, remove, rename, link, list nothing."""

from __future__ import annotations

import os

from lamina.linux.fuse_protocol import (
    BATCH_FORGET_IN,
    CALLER,
    CALLER_AT,
    FORGET_IN,
    FORGET_ONE,
    HEADER_IN_SIZE,
    HEADER_OUT,
    HEADER_OUT_SIZE,
    LINK_IN,
    MKDIR_IN,
    MKNOD_IN,
    RENAME2_IN,
    RENAME_IN,
    Opcode,
)
from lamina.unionfs.fuse.session import Handlers, Session
from lamina.unionfs.making import Creator, Made
from lamina.unionfs.node import DirectoryNode, Node


class Names:
    """Handlers for names in one session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._tree = session.tree
        self._buffer = session.buffer
        self._view = session.view

    def handlers(self) -> Handlers:
        return {
            Opcode.LOOKUP: self._lookup,
            Opcode.FORGET: self._forget,
            Opcode.BATCH_FORGET: self._forget_batch,
            Opcode.READLINK: self._readlink,
            Opcode.SYMLINK: self._symlink,
            Opcode.MKNOD: self._mknod,
            Opcode.MKDIR: self._mkdir,
            Opcode.UNLINK: self._unlink,
            Opcode.RMDIR: self._rmdir,
            Opcode.RENAME: self._rename,
            Opcode.RENAME2: self._rename2,
            Opcode.LINK: self._link,
        }

    def creator(self, umask: int) -> Creator:
        """Who sent the request in the buffer."""
        uid, gid = CALLER.unpack_from(self._buffer, CALLER_AT)
        return Creator(uid, gid, umask)

    def _lookup(self, parent: Node, unique: int, length: int) -> bytes | bytearray:
        assert isinstance(parent, DirectoryNode)
        tree = self._tree
        name = self._view[HEADER_IN_SIZE : length - 1].tobytes()
        tree.found = None
        node = tree.lookup(parent, name)
        if node is None:
            return self._session.no_entry(unique)
        return self._session.entry(unique, node, tree.found or tree.status(node))

    def _forget(self, node: Node, unique: int, length: int) -> None:
        session = self._session
        session.defer(session.let_go, node, FORGET_IN.unpack_from(self._buffer, HEADER_IN_SIZE)[0])

    def _forget_batch(self, node: Node, unique: int, length: int) -> None:
        (count, _) = BATCH_FORGET_IN.unpack_from(self._buffer, HEADER_IN_SIZE)
        start = HEADER_IN_SIZE + BATCH_FORGET_IN.size
        for node_id, times in FORGET_ONE.iter_unpack(self._session.view[start : start + count * FORGET_ONE.size]):
            known = self._session.nodes.get(node_id)
            if known is not None:
                self._session.defer(self._session.let_go, known, times)

    def _readlink(self, node: Node, unique: int, length: int) -> bytes:
        directory, path = self._tree.place(node)
        target = os.readlink(path, dir_fd=directory)
        return HEADER_OUT.pack(HEADER_OUT_SIZE + len(target), 0, unique) + target

    def _made(self, unique: int, parent: DirectoryNode, made: Made) -> bytearray:
        self._session.changed(parent)
        return self._session.entry(unique, made.node, made.status)

    def _symlink(self, parent: Node, unique: int, length: int) -> bytearray:
        assert isinstance(parent, DirectoryNode)
        name, target = self._session.name(HEADER_IN_SIZE, length).split(b"\0")
        making = self._session.changes.making
        return self._made(unique, parent, making.symlink(parent, name, target, self.creator(0)))

    def _mknod(self, parent: Node, unique: int, length: int) -> bytearray:
        assert isinstance(parent, DirectoryNode)
        mode, device, umask, _ = MKNOD_IN.unpack_from(self._buffer, HEADER_IN_SIZE)
        name = self._session.name(HEADER_IN_SIZE + MKNOD_IN.size, length)
        making = self._session.changes.making
        return self._made(unique, parent, making.special(parent, name, mode, device, self.creator(umask)))

    def _mkdir(self, parent: Node, unique: int, length: int) -> bytearray:
        assert isinstance(parent, DirectoryNode)
        mode, umask = MKDIR_IN.unpack_from(self._buffer, HEADER_IN_SIZE)
        name = self._session.name(HEADER_IN_SIZE + MKDIR_IN.size, length)
        making = self._session.changes.making
        return self._made(unique, parent, making.directory(parent, name, mode, self.creator(umask)))

    def _unlink(self, parent: Node, unique: int, length: int) -> bytes:
        assert isinstance(parent, DirectoryNode)
        self._session.changes.removing.unlink(parent, self._session.name(HEADER_IN_SIZE, length))
        self._session.changed(parent)
        return self._session.done(unique)

    def _rmdir(self, parent: Node, unique: int, length: int) -> bytes:
        assert isinstance(parent, DirectoryNode)
        self._session.changes.removing.rmdir(parent, self._session.name(HEADER_IN_SIZE, length))
        self._session.changed(parent)
        return self._session.done(unique)

    def _rename(self, parent: Node, unique: int, length: int) -> bytes:
        (new_parent,) = RENAME_IN.unpack_from(self._buffer, HEADER_IN_SIZE)
        self._rename_names(parent, new_parent, self._session.name(HEADER_IN_SIZE + RENAME_IN.size, length), 0)
        return self._session.done(unique)

    def _rename2(self, parent: Node, unique: int, length: int) -> bytes:
        new_parent, flags, _ = RENAME2_IN.unpack_from(self._buffer, HEADER_IN_SIZE)
        self._rename_names(parent, new_parent, self._session.name(HEADER_IN_SIZE + RENAME2_IN.size, length), flags)
        return self._session.done(unique)

    def _rename_names(self, parent: Node, new_parent_id: int, names: bytes, flags: int) -> None:
        new_parent = self._session.nodes[new_parent_id]
        assert isinstance(parent, DirectoryNode)
        assert isinstance(new_parent, DirectoryNode)
        name, new_name = names.split(b"\0")
        self._session.changes.renaming.rename(parent, name, new_parent, new_name, flags)

    def _link(self, parent: Node, unique: int, length: int) -> bytearray:
        assert isinstance(parent, DirectoryNode)
        (node_id,) = LINK_IN.unpack_from(self._buffer, HEADER_IN_SIZE)
        node = self._session.nodes[node_id]
        name = self._session.name(HEADER_IN_SIZE + LINK_IN.size, length)
        status = self._session.changes.making.link(node, parent, name)
        return self._session.entry(unique, node, status)
