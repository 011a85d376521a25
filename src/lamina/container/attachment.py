"""The client's side of a start: the socket to the monitor, and moving bytes between it and the client's own streams."""

from __future__ import annotations

import os
import select
from collections.abc import Mapping

from lamina.atomicfile import write_all
from lamina.container import frames
from lamina.container.detaching import Detached, DetachKeys
from lamina.errors import SystemFailure
from lamina.events import Teller


class MonitorLost(SystemFailure):
    """The monitor went away without saying how the container ended."""


class StartFailed(SystemFailure):
    """The container could not be started.

    :ivar code: exit code of ``run``.
    """

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def _tell_nobody(action: str, attributes: Mapping[str, str] | None = None) -> None:
    return


class Attachment:
    """A connection to a running container's monitor. Close it, or :meth:`relay` to its end.

    :param tell: notes for ``events`` what its client does to the container, with attributes.
    """

    def __init__(self, descriptor: int, tell: Teller = _tell_nobody) -> None:
        self._descriptor = descriptor
        self._tell = tell

    def fileno(self) -> int:
        return self._descriptor

    def wait_until_started(self) -> bool:
        """``False`` when it runs already. Raises :class:`StartFailed`, :class:`MonitorLost`."""
        frame = self._receive()
        if frame[:1] == frames.FAILED:
            failure = frames.Failure.decode(frame)
            raise StartFailed(failure.message, failure.code)
        if frame not in (frames.STARTED, frames.RUNS):
            raise MonitorLost("the container's monitor ended before the container started")
        return frame == frames.STARTED

    def send(self, frame: bytes) -> None:
        """Send one frame, of which none must be under way."""
        self._sent(frame)

    def resize(self, rows: int, columns: int) -> None:
        """Tell the container's terminal its size."""
        self._sent(frames.resize(rows, columns))
        self._tell("resize", {"height": str(rows), "width": str(columns)})

    def relay(self, stdin: int | None, stdout: int | None, stderr: int | None, keys: DetachKeys | None = None) -> int:
        """Move bytes until the container has ended; its exit code. ``None`` for streams that are not attached.

        A stream that can't be written any more is dropped, the others go on.

        :param keys: watched in the input; ``None`` watches none. :raises Detached: they were typed.
        """
        targets = {frames.OUT: stdout, frames.ERR: stderr}
        # Input that the monitor can't take yet must not keep its output from being read: it would wait, too.
        os.set_blocking(self._descriptor, False)
        pending = b""
        while True:
            poll = select.poll()
            poll.register(self._descriptor, select.POLLIN | (select.POLLOUT if pending else 0))
            if stdin is not None and not pending:
                poll.register(stdin, select.POLLIN)
            for descriptor, events in poll.poll():
                if descriptor == stdin:
                    try:
                        pending = _input_frame(stdin, keys)
                    except Detached:
                        self._tell("detach")
                        raise
                    if pending == frames.INPUT_END:
                        stdin = None
                    continue
                if events & select.POLLOUT and self._sent(pending):
                    pending = b""
                if events & ~select.POLLOUT:
                    frame = self._receive()
                    if frame[:1] == frames.EXITED:
                        self.close()
                        return int(frame[1:])
                    _deliver(frame, targets)

    def _sent(self, frame: bytes) -> bool:
        """Whether the monitor has taken ``frame``, or will never take one."""
        try:
            os.write(self._descriptor, frame)
        except BlockingIOError:
            return False
        except (BrokenPipeError, ConnectionResetError):
            return True  # what the monitor had to say before it went is still to be read
        return True

    def _receive(self) -> bytes:
        try:
            return os.read(self._descriptor, frames.CHUNK + 1)
        except BlockingIOError:
            return frames.NOTHING
        except ConnectionResetError:
            # The monitor went and left input of ours unread. The kernel says so once, before what it had sent.
            return frames.NOTHING

    def close(self) -> None:
        """Let the container go on without this client. Idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _input_frame(stdin: int, keys: DetachKeys | None) -> bytes:
    """The next piece of input as a frame, or the frame for its end; ``b""`` when a key may begin a sequence."""
    try:
        data = os.read(stdin, frames.CHUNK)
    except OSError:
        data = b""
    if not data:
        return frames.INPUT_END
    if keys is not None:
        data, detached = keys.feed(data)
        if detached:
            raise Detached
    return frames.INPUT + data if data else b""


def _deliver(frame: bytes, targets: dict[bytes, int | None]) -> None:
    """Write a frame of output to where it belongs."""
    if not frame:
        raise MonitorLost("the container's monitor ended unexpectedly")
    if frame[:1] == frames.FAILED:
        raise MonitorLost(frames.Failure.decode(frame).message)
    target = targets.get(frame[:1])
    if target is not None:
        try:
            write_all(target, memoryview(frame)[1:])
        except BrokenPipeError:
            targets[frame[:1]] = None
