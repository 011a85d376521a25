"""``mode=non-blocking``: a log that never makes the container wait.

What the log does not take at once waits in memory, up to a number of bytes; what goes beyond is lost, as Docker does.
"""

from __future__ import annotations

import threading

from lamina.collections import deque
from lamina.contextlib import suppress
from lamina.typing import Protocol

#: Docker's default.
LIMIT = 1 << 20
#: How long the end of a container waits for what has not been written.
_CLOSE_SECONDS = 10.0


class _Log(Protocol):
    def write(self, pieces: list[bytes], stream: str, nanoseconds: int) -> None: ...

    def close(self) -> None: ...


class RingLog:
    """Writes to ``log`` from a thread of its own.

    :param limit: bytes that may wait.
    """

    def __init__(self, log: _Log, limit: int) -> None:
        self._log = log
        self._limit = limit
        self._waiting: deque[tuple[list[bytes], str, int]] = deque()
        self._size = 0
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._pass_on, daemon=True)
        self._thread.start()

    def write(self, pieces: list[bytes], stream: str, nanoseconds: int) -> None:
        """Take what there is room for."""
        with self._changed:
            taken = []
            for piece in pieces:
                if self._size and self._size + len(piece) > self._limit:
                    continue
                self._size += len(piece)
                taken.append(piece)
            if taken:
                self._waiting.append((taken, stream, nanoseconds))
                self._changed.notify()

    def _pass_on(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    if self._closed:
                        return
                    self._changed.wait()
                entry = self._waiting.popleft()
                self._size -= sum(map(len, entry[0]))
            with suppress(OSError):  # as without a ring: a full disk costs the log
                self._log.write(*entry)

    def close(self) -> None:
        """Write what waits, and close the log."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(_CLOSE_SECONDS)
        self._log.close()
