"""The request loop: read a request into one buffer, let a handler answer it, write the reply.

A round trip costs mostly the two wake-ups, so after a reply the loop polls the device a bounded number of times before
it sleeps; how often adapts to whether that pays.
"""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Callable

from lamina.linux.fuse_device import can_pass_through
from lamina.linux.fuse_protocol import (
    HEADER_IN,
    HEADER_IN_SIZE,
    HEADER_ROOM,
    INIT_IN,
    INIT_IN_EXT,
    INIT_OUT,
    MAJOR,
    MINOR,
    REQUEST,
    Init,
    Opcode,
)
from lamina.unionfs.changes import Changes
from lamina.unionfs.fuse.directories import Directories
from lamina.unionfs.fuse.files import Files
from lamina.unionfs.fuse.metadata import Metadata
from lamina.unionfs.fuse.names import Names
from lamina.unionfs.fuse.presentation import present
from lamina.unionfs.fuse.session import Handler, Reply, Session
from lamina.unionfs.fuse.slow import SlowWork
from lamina.unionfs.node import Node
from lamina.unionfs.tree import Tree

#: The largest write, and read.
LARGEST_IO = 1 << 20
#: Copying up more than this happens aside.
_SLOW_COPY = 4 << 20
#: How often the device is looked at before sleeping: about as long as a client needs to be woken and ask again.
_SPINS = 100
#: When looking did not help, it is left out for 2, 4, 8, ... requests, up to two to the power of this.
_MOST_MISSES = 7

_WANTED = (
    Init.ASYNC_READ
    | Init.ATOMIC_O_TRUNC
    | Init.BIG_WRITES
    | Init.DONT_MASK
    | Init.DO_READDIRPLUS
    | Init.ASYNC_DIO
    | Init.PARALLEL_DIROPS
    | Init.POSIX_ACL
    | Init.ABORT_ERROR
    | Init.MAX_PAGES
    | Init.CACHE_SYMLINKS
    | Init.HANDLE_KILLPRIV_V2
    | Init.SETXATTR_EXT
    | Init.INIT_EXT
)
#: No opcode of the kernel's is as large. What is not served gets ``ENOSYS``; some the kernel then never sends again.
_OPCODES = 64


class _PutAside(Exception):  # a control flow, not an error
    """The request waits for a copy that another thread makes."""

    def __init__(self, waiting: list[bytes]) -> None:
        super().__init__()
        self.waiting = waiting


class Server:
    """Serves one union on one connection."""

    def __init__(self, tree: Tree, changes: Changes | None, device: int) -> None:
        self._buffer = bytearray(LARGEST_IO + HEADER_ROOM)
        self._device = device
        self._tree = tree
        self._slow = SlowWork()
        self._session = Session(tree, changes, device, self._buffer)
        names = Names(self._session)
        self._files = Files(self._session, names, self._later, largest_read=LARGEST_IO)
        self._copies: dict[Node, list[bytes]] = {}
        self._changes = changes
        if changes is not None:
            changes.copy_up.before_data = self._copy_aside
        self._stopping = False
        self.initialized = False
        self._handlers = self._table(names)

    def _table(self, names: Names) -> list[Handler]:
        """Handlers by opcode."""
        table: list[Handler] = [lambda node, unique, length: self._session.error(unique, errno.ENOSYS)] * _OPCODES
        groups = (names, Directories(self._session), self._files, Metadata(self._session))
        for group in groups:
            for opcode, handler in group.handlers().items():
                table[opcode] = handler
        table[Opcode.INIT] = self._init
        table[Opcode.INTERRUPT] = lambda node, unique, length: None
        table[Opcode.IOCTL] = lambda node, unique, length: self._session.error(unique, errno.ENOTTY)
        table[Opcode.DESTROY] = lambda node, unique, length: self._session.done(unique)
        present(self._session, table)
        return table

    def stop(self) -> None:
        """End :meth:`run` soon. Safe to call from a signal handler."""
        self._stopping = True
        self._slow.wake()

    def has_open_files(self) -> bool:
        """Whether anybody has a file of the mount open."""
        return any(node.descriptors for node in self._session.nodes.values())

    def close(self) -> None:
        """Free what :meth:`run` used, not the device."""
        self._slow.close()

    def run(self, gone: Callable[[], bool], until_initialized: bool = False) -> bool:
        """Answer requests until the mount is gone (``False``) or :meth:`stop` was called (``True``).

        ``gone`` is asked when this process's mounts changed and nothing is to be done. With ``until_initialized`` it
        returns after the kernel's first request.
        """
        device, buffer, buffers = self._device, self._buffer, [self._buffer]
        readv, write, unpack, handlers = os.readv, os.write, REQUEST.unpack_from, self._handlers
        find = self._session.nodes.get
        with open("/proc/self/mounts", "rb") as mounts:
            await_request = self._waiting(mounts.fileno(), gone)
            busy = False
            while not self._stopping:
                try:
                    if not busy:
                        looked = await_request()
                        if not looked:
                            return False
                        busy = looked == 1  # it had come while another one was answered, so the next one may have too
                    length = readv(device, buffers)
                except BlockingIOError:
                    busy = False
                    continue
                except OSError as error:
                    if not _can_go_on(error):
                        return False
                    continue
                _, opcode, unique, node_id = unpack(buffer)
                node = find(node_id)
                try:
                    if node is not None:
                        reply = handlers[opcode](node, unique, length)
                    else:
                        reply = self._unusual(opcode, unique, length)
                    if reply is not None:
                        write(device, reply)
                except (OSError, _PutAside) as failure:
                    self._failed(failure, unique, length)
                if until_initialized and self.initialized:
                    return True
        return True

    def _waiting(self, mounts: int, gone: Callable[[], bool]) -> Callable[[], int]:
        """What waits until there is something to do and tells how often it looked; 0 when it is time to end.

        It looks at the device for a while before it sleeps, unless that did not help lately: a client that has to share
        our CPU can't ask before we sleep.
        """
        spinning = select.poll()
        spinning.register(self._device, select.POLLIN)
        look = spinning.poll
        sleeping = select.poll()
        sleeping.register(self._device, select.POLLIN)
        sleeping.register(self._slow.wake_read, select.POLLIN)
        sleeping.register(mounts, select.POLLERR | select.POLLPRI)
        looks = range(1, _SPINS + 1)
        use_spare_time, finish_deferred = self._session.use_spare_time, self._session.finish_deferred
        rest = misses = 0

        def await_request() -> int:
            nonlocal rest, misses
            if rest:
                rest -= 1
            else:
                for number in looks:
                    if look(0):
                        misses = 0
                        return number
                    use_spare_time()
                misses = min(misses + 1, _MOST_MISSES)
                rest = 1 << misses
            finish_deferred()
            return _SPINS if self._sleep(sleeping, gone) else 0

        return await_request

    def _sleep(self, poll: select.poll, gone: Callable[[], bool]) -> bool:
        """Wait for something to do; whether to go on."""
        for descriptor, events in poll.poll():
            if descriptor == self._slow.wake_read:
                self._slow.run_finished()
            elif descriptor == self._device:
                if events & (select.POLLERR | select.POLLHUP) and not events & select.POLLIN:
                    return False
            elif gone():
                return False
        return True

    def _answer(self, opcode: int, unique: int, node: Node | None, length: int) -> None:
        """Answer the request in the buffer."""
        try:
            if node is not None:
                reply = self._handlers[opcode](node, unique, length)
            else:
                reply = self._unusual(opcode, unique, length)
        except (OSError, _PutAside) as failure:
            self._failed(failure, unique, length)
        else:
            if reply is not None:
                self._write(reply)

    def _failed(self, failure: OSError | _PutAside, unique: int, length: int) -> None:
        """A handler refused, or has to wait; or nobody waited for its reply, and nobody will for this one."""
        if isinstance(failure, _PutAside):
            failure.waiting.append(bytes(self._buffer[:length]))
        else:
            self._write(self._session.error(unique, failure.errno))

    def _unusual(self, opcode: int, unique: int, length: int) -> Reply | None:
        """For the few requests about no node in particular; others name one that is gone."""
        if opcode in (Opcode.INIT, Opcode.DESTROY, Opcode.BATCH_FORGET, Opcode.INTERRUPT, Opcode.STATFS):
            return self._handlers[opcode](self._tree.root, unique, length)
        if opcode == Opcode.FORGET:
            return None
        return self._session.error(unique, errno.ESTALE)

    def _write(self, reply: Reply) -> None:
        try:
            os.write(self._device, reply)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENODEV, errno.ECONNABORTED):  # nobody waits any more
                raise

    def _init(self, node: Node, unique: int, length: int) -> bytes | None:
        major, minor, read_ahead, flags = INIT_IN.unpack_from(self._buffer, HEADER_IN_SIZE)
        if major != MAJOR or minor < 31:
            return self._session.error(unique, errno.EPROTO)
        if flags & Init.INIT_EXT:
            flags |= INIT_IN_EXT.unpack_from(self._buffer, HEADER_IN_SIZE)[4] << 32
        options = self._tree.options
        wanted = _WANTED
        if options.writeback:
            wanted |= Init.WRITEBACK_CACHE
        elif options.passthrough and minor >= 40:
            wanted |= Init.PASSTHROUGH
        granted = flags & wanted
        self._files.writeback = bool(granted & Init.WRITEBACK_CACHE)
        self._session.opens_no_directories = bool(flags & Init.NO_OPENDIR_SUPPORT)
        self.initialized = True
        reply = INIT_OUT.pack(
            INIT_OUT.size,
            0,
            unique,
            MAJOR,
            min(minor, MINOR),
            read_ahead,
            granted & 0xFFFFFFFF,
            64,
            48,
            LARGEST_IO,
            1,
            LARGEST_IO // os.sysconf("SC_PAGE_SIZE"),
            0,
            granted >> 32,
            1,
        )
        self._write(reply)
        if granted & Init.PASSTHROUGH and self._changes is not None:
            self._files.passthrough = can_pass_through(self._device, self._changes.work.layer.prefix)
        return None

    def _later(self, unique: int, work: Callable[[], bytes]) -> None:
        """Answer a request from the other thread."""

        def answer() -> None:
            try:
                reply = work()
            except OSError as error:
                reply = self._session.error(unique, error.errno)
            self._write(reply)

        self._slow.submit(answer)

    def _copy_aside(self, node: Node, size: int) -> None:
        """Have a large file copied by the other thread; requests that need the copy wait for it."""
        waiting = self._copies.get(node)
        if waiting is None:
            if size <= _SLOW_COPY:
                return
            waiting = self._copies[node] = []
            assert self._changes is not None
            work = self._changes.copy_up.later(node)
            self._slow.submit(lambda: self._copy(node, work))
        raise _PutAside(waiting)

    def _copy(self, node: Node, work: Callable[[], None]) -> None:
        failed: OSError | None = None
        try:
            work()
        except OSError as error:
            failed = error
        self._slow.hand_back(lambda: self._copied(node, failed))

    def _copied(self, node: Node, failed: OSError | None) -> None:
        """In the loop: answer who waited for the copy."""
        self._session.discard_prepared(node.parent or node)
        for request in self._copies.pop(node):
            self._buffer[: len(request)] = request
            _, opcode, unique, node_id, *_ = HEADER_IN.unpack_from(request)
            if failed is not None:
                self._write(self._session.error(unique, failed.errno))
            else:
                self._answer(opcode, unique, self._session.nodes.get(node_id), len(request))


def _can_go_on(error: OSError) -> bool:
    """``ENOENT``: a request was withdrawn. ``ENODEV``: unmounted; ``ECONNABORTED``: ended by force."""
    if error.errno in (errno.ENOENT, errno.EINTR, errno.EAGAIN):
        return True
    if error.errno in (errno.ENODEV, errno.ECONNABORTED):
        return False
    raise error
