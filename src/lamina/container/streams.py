"""The container's standard streams as its monitor holds them: pipes, or the master of a pseudo-terminal."""

from __future__ import annotations

import array
import fcntl
import os
import struct
import termios
from typing import TYPE_CHECKING

from lamina.container.jsonlog import STDERR, STDOUT
from lamina.errors import SystemFailure
from lamina.runtime.program import StandardStreams

if TYPE_CHECKING:
    from socket import socket


class Streams:
    """Both ends of the streams of one start.

    :ivar sources: descriptors to read the container's output from, with the stream's name in the log.
    :ivar sink: descriptor of the container's standard input; -1 when it has none or it was closed.
    """

    def __init__(self, *, terminal: bool, open_stdin: bool) -> None:
        self.terminal = terminal
        self.sources: dict[int, str] = {}
        self.sink = -1
        self._theirs: list[int] = []
        self._console: socket | None = None
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        self._theirs.append(null)
        self.inherited = StandardStreams(null, null, null)
        if not terminal:
            self.inherited = self._pipes(open_stdin)

    def _pipes(self, open_stdin: bool) -> StandardStreams:
        stdin = self._theirs[0]
        if open_stdin:
            stdin, self.sink = os.pipe2(os.O_CLOEXEC)
            os.set_blocking(self.sink, False)
            self._theirs.append(stdin)
        ends = []
        for name in (STDOUT, STDERR):
            ours, theirs = os.pipe2(os.O_CLOEXEC)
            os.set_blocking(ours, False)
            self.sources[ours] = name
            self._theirs.append(theirs)
            ends.append(theirs)
        return StandardStreams(stdin, ends[0], ends[1])

    def listen_for_console(self, directory: str) -> str:
        """Path of a socket for the runtime's ``--console-socket``, in ``directory``."""
        from socket import AF_UNIX, SOCK_STREAM, socket  # only terminals need it, and it is slow to import

        # A socket's address holds 107 bytes, a data root's path may be longer: a way through /proc is short.
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._theirs.append(handle)
        self._console = socket(AF_UNIX, SOCK_STREAM)
        path = f"/proc/{os.getpid()}/fd/{handle}/console"
        self._console.bind(path)
        self._console.listen(1)
        return path

    def started(self) -> None:
        """The runtime has its copies: close them here, and take over the terminal."""
        if self._console is not None:
            master = _receive_descriptor(self._console)
            os.set_blocking(master, False)
            self.sources[master] = STDOUT
            self.sink = os.dup(master)
        self.close_theirs()

    def close_theirs(self) -> None:
        for descriptor in self._theirs:
            os.close(descriptor)
        self._theirs.clear()
        if self._console is not None:
            self._console.close()
            self._console = None

    def close_sink(self) -> None:
        """Give the container an end of file. Idempotent."""
        if self.sink >= 0:
            os.close(self.sink)
            self.sink = -1

    def close_source(self, descriptor: int) -> str:
        """Close one of :attr:`sources`; the stream's name."""
        os.close(descriptor)
        return self.sources.pop(descriptor)

    def resize(self, rows: int, columns: int) -> None:
        """Tell the terminal its size."""
        if self.terminal and self.sink >= 0:
            fcntl.ioctl(self.sink, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def _receive_descriptor(listener: socket) -> int:
    """The one descriptor that the runtime sends over its connection (``SCM_RIGHTS``)."""
    connection, _ = listener.accept()
    with connection:
        size = array.array("i").itemsize
        _, ancillary, _, _ = connection.recvmsg(4096, size * 8)
    for _, _, data in ancillary:
        descriptors = array.array("i")
        descriptors.frombytes(data[: len(data) - len(data) % size])
        for extra in descriptors[1:]:
            os.close(extra)
        if descriptors:
            os.set_inheritable(descriptors[0], False)
            return descriptors[0]
    raise SystemFailure("the runtime sent no terminal")
