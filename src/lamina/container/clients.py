"""The monitor's end of the sockets to attached clients.

No client holds the container up for long. One that is slow slows it down, as with Docker; one that takes nothing for
some seconds (it was stopped, say) finds what it missed in a file when it goes on.
"""

import os
import select
import time
from collections.abc import Iterator

from lamina.collections import deque
from lamina.container import frames
from lamina.contextlib import suppress

#: How long a client that takes nothing may keep the container waiting, in seconds.
PATIENCE = 3.0
_LENGTH_BYTES = 4


class Spool:
    """Frames that wait in a file without a name. Raises :class:`OSError` when there is no room."""

    def __init__(self, directory: str) -> None:
        path = os.path.join(directory, f"spool-{os.urandom(4).hex()}")
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        os.unlink(path)
        self._read = 0
        self._written = 0

    def append(self, frame: bytes) -> None:
        record = len(frame).to_bytes(_LENGTH_BYTES, "little") + frame
        if os.pwrite(self._descriptor, record, self._written) != len(record):
            raise OSError("the spool file could not be extended")
        self._written += len(record)

    def next(self) -> bytes:
        """The oldest frame, which is removed; ``b""`` when there is none."""
        if self._read == self._written:
            return b""
        length = int.from_bytes(os.pread(self._descriptor, _LENGTH_BYTES, self._read), "little")
        frame = os.pread(self._descriptor, length, self._read + _LENGTH_BYTES)
        self._read += _LENGTH_BYTES + length
        return frame

    def close(self) -> None:
        os.close(self._descriptor)


class Client:
    """One socket; writing never blocks.

    :ivar wants_output: whether it gets what the container writes, and not only the exit code.
    :ivar gives_input: whether its end is the input's end for a container that is attached to once.
    """

    def __init__(self, descriptor: int, directory: str, *, wants_output: bool = False) -> None:
        self.descriptor = descriptor
        self.wants_output = wants_output
        self.gives_input = wants_output
        self._directory = directory
        self._pending: deque[bytes] = deque()
        self._spool: Spool | None = None
        self._stuck_since = 0.0
        self._leaving = False
        os.set_blocking(descriptor, False)

    @property
    def behind(self) -> bool:
        """Whether it has not taken everything yet."""
        return bool(self._pending)

    def patience(self, now: float) -> float:
        """How many seconds more the container waits for it: 0 when it does not, or no longer."""
        if not self._pending or self._spool is not None:
            return 0.0
        return max(0.0, self._stuck_since + PATIENCE - now)

    def send(self, frame: bytes) -> None:
        if self.descriptor < 0:
            return
        if self._spool is None and self._pending and not self.patience(time.monotonic()):
            try:
                self._spool = Spool(self._directory)
            except OSError:
                self.close()
                return
        if self._spool is None:
            self._pending.append(frame)
            self.push()
            return
        try:
            self._spool.append(frame)
        except OSError:  # a full disk: it is cut off rather than shown a gap
            self.close()

    def push(self) -> None:
        """Send what is pending, as much as goes."""
        try:
            while self._pending:
                os.write(self.descriptor, self._pending[0])
                self._pending.popleft()
                self._stuck_since = 0.0
                if self._spool is not None:
                    self._refill()
        except BlockingIOError:
            self._stuck_since = self._stuck_since or time.monotonic()
            return
        except OSError:
            self.close()
            return
        if self._leaving:
            self.close()

    def _refill(self) -> None:
        assert self._spool is not None
        frame = self._spool.next()
        if frame:
            self._pending.append(frame)
        else:
            self._spool.close()
            self._spool = None

    def receive(self) -> bytes:
        """One frame; ``b""`` when the client is gone."""
        try:
            return os.read(self.descriptor, frames.CHUNK + 1)
        except BlockingIOError:
            return frames.NOTHING
        except OSError:
            return b""

    def leave(self, last: bytes) -> None:
        """Send ``last`` and close once everything was taken. Idempotent."""
        if self._leaving:
            return
        self._leaving = True
        self.wants_output = self.gives_input = False
        self.send(last)
        if not self._pending:
            self.close()

    def close(self) -> None:
        """Idempotent."""
        self._pending.clear()
        if self._spool is not None:
            self._spool.close()
            self._spool = None
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class Clients:
    """All clients of one monitor, and the socket on which more come.

    :ivar listener: descriptor of that socket.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._socket = frames.listen(directory)
        self._by_descriptor: dict[int, Client] = {}

    @property
    def listener(self) -> int:
        return self._socket.fileno()

    def __iter__(self) -> Iterator[Client]:
        return iter(tuple(self._by_descriptor.values()))

    def __contains__(self, descriptor: object) -> bool:
        return descriptor in self._by_descriptor

    def __getitem__(self, descriptor: int) -> Client:
        return self._by_descriptor[descriptor]

    def add(self, descriptor: int, *, wants_output: bool) -> Client:
        client = Client(descriptor, self._directory, wants_output=wants_output)
        self._by_descriptor[descriptor] = client
        return client

    def accept(self) -> None:
        """Take whoever knocks."""
        with suppress(OSError):
            descriptor, _ = self._socket._accept()  # type: ignore[attr-defined]  # what socket.accept is made of
            os.set_inheritable(descriptor, False)
            self.add(descriptor, wants_output=False)

    def register(self, poll: "select.poll", *, reading: bool) -> None:
        """Wait for all of them; with ``reading`` also for what they say."""
        self._forget_closed()
        poll.register(self.listener, select.POLLIN)
        for descriptor, client in self._by_descriptor.items():
            poll.register(descriptor, (select.POLLOUT if client.behind else 0) | (select.POLLIN if reading else 0))

    def patience(self, now: float) -> float:
        """How long the container is to wait for the slowest."""
        return max((client.patience(now) for client in self), default=0.0)

    def output(self, frame: bytes) -> None:
        """Send output to all who want it."""
        for client in self:
            if client.wants_output:
                client.send(frame)

    def dismiss(self, last: bytes) -> None:
        """The run is over: tell everybody, and let them go once they have taken everything."""
        for client in self:
            client.leave(last)
        self._forget_closed()

    def close_listener(self) -> None:
        self._socket.close()

    def linger(self) -> None:
        """Serve those who still have something to take, until they are gone."""
        while any(client.behind for client in self):
            self._forget_closed()
            poll = select.poll()
            for descriptor in self._by_descriptor:
                poll.register(descriptor, select.POLLOUT)
            for descriptor, _ in poll.poll():
                self._by_descriptor[descriptor].push()
        self._forget_closed()

    def _forget_closed(self) -> None:
        for descriptor, client in tuple(self._by_descriptor.items()):
            if client.descriptor < 0:
                del self._by_descriptor[descriptor]
