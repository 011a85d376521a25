"""The container's standard streams as its monitor holds them: pipes, or the master of a pseudo-terminal."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import struct

from lamina.container.jsonlog import STDERR, STDOUT
from lamina.errors import SystemFailure
from lamina.runtime.program import StandardStreams
from lamina.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from socket import socket


class Streams:
    """Both ends of the streams of one start.

    With ``discard`` there are none: no input, and output goes nowhere.

    :param null: path of the null device to use.

    :ivar sources: descriptors to read the container's output from, with the stream's name in the log.
    :ivar sink: descriptor of the container's standard input; -1 when it has none or it was closed.
    """

    def __init__(self, *, terminal: bool, open_stdin: bool, discard: bool = False, null: str = os.devnull) -> None:
        self.terminal = terminal
        self.sources: dict[int, str] = {}
        self.sink = -1
        self._theirs: list[int] = []
        self._console: socket | None = None
        nothing = os.open(null, os.O_RDWR | os.O_CLOEXEC)
        self._theirs.append(nothing)
        self.inherited = StandardStreams(nothing, nothing, nothing)
        if not terminal and not discard:
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
        """The runtime has done its work and has its copies: close them here, and take over the terminal."""
        if self._console is not None:
            self._take_over(_receive_descriptor(self._console))
        self.close_theirs()

    def entered(self, pid: int) -> None:
        """The same while the runtime, process ``pid``, is at work: it may fail before it sends a terminal."""
        if self._console is not None:
            poll = select.poll()
            poll.register(self._console.fileno(), select.POLLIN)
            handle = os.pidfd_open(pid)
            try:
                poll.register(handle, select.POLLIN)
                if any(descriptor != handle for descriptor, _ in poll.poll()):
                    self._take_over(_receive_descriptor(self._console))
            finally:
                os.close(handle)
        self.close_theirs()

    def _take_over(self, master: int) -> None:
        os.set_blocking(master, False)
        self.sources[master] = STDOUT
        self.sink = os.dup(master)

    def read(self, source: int, limit: int) -> bytes:
        """What one of :attr:`sources` has; at its end it is closed."""
        try:
            data = os.read(source, limit)
        except BlockingIOError:
            return b""
        except OSError as error:
            if error.errno != errno.EIO:  # a terminal without anybody on its other side
                raise
            data = b""
        if not data:
            self.close_source(source)
        return data

    def feed(self, data: bytearray, *, ended: bool) -> None:
        """Give the process what it takes of ``data``, which that is removed from; once it is empty and ``ended``, an
        end of file, which a terminal has none of."""
        if self.sink < 0:
            data.clear()
            return
        try:
            while data:
                del data[: os.write(self.sink, data)]
        except BlockingIOError:
            return
        except OSError:  # it closed its input, or has ended
            data.clear()
            self.close_sink()
            return
        if ended and not self.terminal:
            self.close_sink()

    def descriptors(self) -> list[int]:
        """Our ends."""
        return [*self.sources, *([self.sink] if self.sink >= 0 else [])]

    def close(self) -> None:
        """Close everything. Idempotent."""
        self.close_theirs()
        self.close_sink()
        for source in tuple(self.sources):
            self.close_source(source)

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
        import termios  # few containers have a terminal

        if self.terminal and self.sink >= 0:
            fcntl.ioctl(self.sink, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def _receive_descriptor(listener: socket) -> int:
    """The one descriptor that the runtime sends over its connection (``SCM_RIGHTS``)."""
    connection, _ = listener.accept()
    with connection:
        size = struct.calcsize("i")
        _, ancillary, _, _ = connection.recvmsg(4096, size * 8)
    for _, _, data in ancillary:
        count = len(data) // size
        descriptors: tuple[int, ...] = struct.unpack_from(f"{count}i", data)
        for extra in descriptors[1:]:
            os.close(extra)
        if descriptors:
            os.set_inheritable(descriptors[0], False)
            return descriptors[0]
    raise SystemFailure("the runtime sent no terminal")
