"""Requests about open files. A handle is the descriptor of the layer's file; reading and writing are one system call.

Passthrough (the kernel reads and writes the upper file itself) and the kernel's own page cache exclude each other per
file: what the first open file of a node got, the others get too (Linux ``fs/fuse/iomode.c``).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable

from lamina import contextlib
from lamina.linux.files import fallocate
from lamina.linux.fuse_device import close_backing, open_backing
from lamina.linux.fuse_protocol import (
    COPY_FILE_RANGE_IN,
    CREATE_IN,
    FALLOCATE_IN,
    FOPEN_KEEP_CACHE,
    FOPEN_NOFLUSH,
    FOPEN_PASSTHROUGH,
    FSYNC_DATA_ONLY,
    FSYNC_IN,
    HEADER_IN_SIZE,
    HEADER_OUT,
    HEADER_OUT_SIZE,
    LSEEK_IN,
    LSEEK_OUT,
    OPEN_IN,
    OPEN_KILL_SUIDGID,
    OPEN_OUT,
    READ_IN,
    RELEASE_IN,
    WRITE_IN,
    WRITE_IN_SIZE,
    WRITE_KILL_SUIDGID,
    WRITE_OUT,
    Opcode,
)
from lamina.unionfs.fuse.names import Names
from lamina.unionfs.fuse.session import Handlers, Session
from lamina.unionfs.making import Made
from lamina.unionfs.node import DirectoryNode, Node

#: Flags of ``open`` that mean something to the layer's file.
_KEPT_FLAGS = os.O_ACCMODE | os.O_TRUNC | os.O_SYNC | os.O_DSYNC
#: Smaller files are read faster through the kernel's cache than opened for passthrough.
_PASSTHROUGH_SIZE = 128 << 10
_WRITE_DATA = HEADER_IN_SIZE + WRITE_IN_SIZE
_CREATE_NAME = HEADER_IN_SIZE + CREATE_IN.size

#: Does slow work in another thread; what it returns is the reply.
Later = Callable[[int, Callable[[], bytes]], None]


class _Backing:
    """A file that the kernel has under a number, and how many open files use it."""

    __slots__ = ("number", "users")

    def __init__(self, number: int) -> None:
        self.number = number
        self.users = 0


class Files:
    """Handlers for open files in one session."""

    def __init__(self, session: Session, names: Names, later: Later, *, largest_read: int) -> None:
        self._session = session
        self._names = names
        self._later = later
        self._tree = session.tree
        self._metacopies = session.tree.metacopies
        self._buffer = session.buffer
        self._read_buffer = memoryview(bytearray(largest_read))
        #: Set when the kernel accepts passthrough and may be given it.
        self.passthrough = False
        self.writeback = False
        self._backings: dict[Node, _Backing] = {}
        #: By open file.
        self._passed: dict[int, _Backing] = {}
        #: Nodes whose cached pages may be older than what passthrough wrote.
        self._stale: set[Node] = set()
        self._volatile = session.tree.options.volatile
        self._lower_flags = os.O_NOATIME if os.geteuid() == 0 else 0
        session.on_forget = self._forgotten

    def handlers(self) -> Handlers:
        return {
            Opcode.OPEN: self._open,
            Opcode.CREATE: self._create,
            Opcode.TMPFILE: self._temporary,
            Opcode.READ: self._read,
            Opcode.WRITE: self._write,
            Opcode.RELEASE: self._release,
            Opcode.FSYNC: self._fsync,
            Opcode.FSYNCDIR: self._fsync_directory,
            Opcode.FALLOCATE: self._fallocate,
            Opcode.LSEEK: self._lseek,
            Opcode.COPY_FILE_RANGE: self._copy_file_range,
        }

    def _open(self, node: Node, unique: int, length: int) -> bytes:
        flags, more = OPEN_IN.unpack_from(self._buffer, HEADER_IN_SIZE)
        writing = flags & (os.O_ACCMODE | os.O_TRUNC)
        if writing and (not node.upper or node in self._metacopies):
            self._session.changes.copy_up.ensure(node, 0 if flags & os.O_TRUNC else None)
        directory, path = self._tree.data_place(node) if node in self._metacopies else self._tree.place(node)
        kept = flags & _KEPT_FLAGS | os.O_CLOEXEC
        if directory >= 0:
            kept |= os.O_NOFOLLOW
        if not node.upper:
            kept |= self._lower_flags
        elif self.writeback and kept & os.O_ACCMODE == os.O_WRONLY:
            kept = kept & ~os.O_ACCMODE | os.O_RDWR
        file = os.open(path, kept, dir_fd=directory)
        if more & OPEN_KILL_SUIDGID and flags & os.O_TRUNC:
            self._session.kill_privileges(node)
        open_flags, backing = self._opened(node, file, writing != 0, None)
        return OPEN_OUT.pack(OPEN_OUT.size, 0, unique, file, open_flags, backing)

    def _create(self, parent: Node, unique: int, length: int) -> bytearray:
        assert isinstance(parent, DirectoryNode)
        flags, mode, umask, _ = CREATE_IN.unpack_from(self._buffer, HEADER_IN_SIZE)
        name = self._session.name(_CREATE_NAME, length)
        if self.writeback and flags & os.O_ACCMODE == os.O_WRONLY:
            flags = flags & ~os.O_ACCMODE | os.O_RDWR
        making = self._session.changes.making
        made = making.file(parent, name, mode, flags & _KEPT_FLAGS, self._names.creator(umask))
        self._session.changed(parent)
        return self._created(unique, made, flags)

    def _temporary(self, parent: Node, unique: int, length: int) -> bytearray:
        assert isinstance(parent, DirectoryNode)
        flags, mode, umask, _ = CREATE_IN.unpack_from(self._buffer, HEADER_IN_SIZE)
        making = self._session.changes.making
        kept = flags & _KEPT_FLAGS
        made = making.temporary_file(parent, mode, kept, self._names.creator(umask))
        made.node.descriptors = None
        return self._created(unique, made, flags)

    def _created(self, unique: int, made: Made, flags: int) -> bytearray:
        node, status, file = made
        open_flags, backing = self._opened(node, file, flags & os.O_ACCMODE != 0, status)
        return self._session.created(unique, node, status, (file, open_flags, backing))

    def _opened(self, node: Node, file: int, writing: bool, status: os.stat_result | None) -> tuple[int, int]:
        """``FOPEN_*`` flags and backing number for a new open file, which the node knows from now on."""
        if node in self._metacopies:
            self._tree.borrowers.setdefault(node, []).append(file)
            return FOPEN_NOFLUSH, 0
        descriptors = node.descriptors
        if descriptors is None:
            descriptors = node.descriptors = []
        node.told = node.told and not writing
        if self.passthrough and node.upper:
            backing = self._backings.get(node)
            if backing is None and not descriptors and _suits(status or os.fstat(file), writing):
                backing = self._start_backing(node, file)
            if backing is not None:
                backing.users += 1
                self._passed[file] = backing
                descriptors.append(file)
                self._stale.add(node)
                return FOPEN_PASSTHROUGH | FOPEN_NOFLUSH, backing.number
        descriptors.append(file)
        if node in self._stale:
            self._stale.discard(node)
            return FOPEN_NOFLUSH, 0
        return (FOPEN_KEEP_CACHE | FOPEN_NOFLUSH, 0) if not self.writeback else (FOPEN_KEEP_CACHE, 0)

    def _start_backing(self, node: Node, file: int) -> _Backing | None:
        try:
            backing = self._backings[node] = _Backing(open_backing(self._session.device, file))
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ELOOP, errno.EOPNOTSUPP, errno.EINVAL):
                raise
            return None
        return backing

    def _release(self, node: Node, unique: int, length: int) -> bytes:
        self._session.defer(self._close, node, RELEASE_IN.unpack_from(self._buffer, HEADER_IN_SIZE)[0])
        return self._session.done(unique)

    def _close(self, node: Node, file: int) -> None:
        descriptors = node.descriptors
        if descriptors is not None and file in descriptors:
            if len(descriptors) > 1:
                descriptors.remove(file)
            else:
                node.descriptors = None
        elif node in self._tree.borrowers:
            self._tree.return_borrowed(node, file)
        backing = self._passed.pop(file, None)
        if backing is not None:
            backing.users -= 1
            if not backing.users:
                del self._backings[node]
                close_backing(self._session.device, backing.number)
        if node.parent is None and node.descriptors is None and node.upper and node.last is None:
            node.last = os.fstat(file)
        with contextlib.suppress(OSError):  # nobody is left to be told
            os.close(file)

    def _forgotten(self, node: Node) -> None:
        self._stale.discard(node)
        for descriptor in node.descriptors or ():
            os.close(descriptor)
        node.descriptors = None

    def _read(self, node: Node, unique: int, length: int) -> None:
        file, offset, size, *_ = READ_IN.unpack_from(self._buffer, HEADER_IN_SIZE)
        data = self._read_buffer[:size]
        count = os.preadv(file, (data,), offset)
        header = HEADER_OUT.pack(HEADER_OUT_SIZE + count, 0, unique)
        os.writev(self._session.device, (header, data[:count]))

    def _write(self, node: Node, unique: int, length: int) -> bytes:
        file, offset, size, flags, *_ = WRITE_IN.unpack_from(self._buffer, HEADER_IN_SIZE)
        count = os.pwrite(file, self._session.view[_WRITE_DATA : _WRITE_DATA + size], offset)
        if flags & WRITE_KILL_SUIDGID:
            self._session.kill_privileges(node)
        return WRITE_OUT.pack(WRITE_OUT.size, 0, unique, count, 0)

    def _fsync(self, node: Node, unique: int, length: int) -> bytes | None:
        file, flags, _ = FSYNC_IN.unpack_from(self._buffer, HEADER_IN_SIZE)
        if self._volatile:
            return self._session.done(unique)

        def synchronize() -> bytes:
            if flags & FSYNC_DATA_ONLY:
                os.fdatasync(file)
            else:
                os.fsync(file)
            return self._session.done(unique)

        self._later(unique, synchronize)
        return None

    def _fsync_directory(self, node: Node, unique: int, length: int) -> bytes | None:
        if self._volatile or not node.upper:
            return self._session.done(unique)
        directory, path = self._tree.place(node)
        file = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)

        def synchronize() -> bytes:
            try:
                os.fsync(file)
            finally:
                os.close(file)
            return self._session.done(unique)

        self._later(unique, synchronize)
        return None

    def _fallocate(self, node: Node, unique: int, length: int) -> bytes:
        file, offset, count, mode, _ = FALLOCATE_IN.unpack_from(self._buffer, HEADER_IN_SIZE)
        fallocate(file, mode, offset, count)
        self._session.kill_privileges(node)
        return self._session.done(unique)

    def _lseek(self, node: Node, unique: int, length: int) -> bytes:
        file, offset, whence, _ = LSEEK_IN.unpack_from(self._buffer, HEADER_IN_SIZE)
        return LSEEK_OUT.pack(LSEEK_OUT.size, 0, unique, os.lseek(file, offset, whence))

    def _copy_file_range(self, node: Node, unique: int, length: int) -> bytes | None:
        source, source_offset, target_node, target, target_offset, count, _ = COPY_FILE_RANGE_IN.unpack_from(
            self._buffer, HEADER_IN_SIZE
        )
        self._session.kill_privileges(self._session.nodes[target_node])

        def copy() -> bytes:
            copied = os.copy_file_range(source, target, min(count, 1 << 30), source_offset, target_offset)
            return WRITE_OUT.pack(WRITE_OUT.size, 0, unique, copied, 0)

        self._later(unique, copy)
        return None


def _suits(status: os.stat_result, writing: bool) -> bool:
    """Whether passthrough pays. Not for writing set-user-ID files: only ``WRITE`` tells when to take that away."""
    if writing:
        return not status.st_mode & (stat.S_ISUID | stat.S_ISGID)
    return status.st_size >= _PASSTHROUGH_SIZE
