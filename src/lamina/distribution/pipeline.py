"""Writing beside reading: what a stream costs is overlapped with what makes it."""

from __future__ import annotations

import queue
import threading
from types import TracebackType

from lamina.typing import IO, Self

#: Most pieces that wait to be written; a piece has at most about a megabyte.
_WAITING = 8


def _write_all(sink: IO[bytes], piece: bytes) -> None:
    """Write the whole piece: an unbuffered sink may take only a part of it at once."""
    written = sink.write(piece)
    while written < len(piece):
        written += sink.write(piece[written:])


class WriteBehind:
    """A sink whose writes are done by another thread, in order.

    An error of the sink's is raised by one of the next calls, at the latest when the ``with`` block ends.
    """

    def __init__(self, sink: IO[bytes]) -> None:
        self._sink = sink
        self._pieces: queue.Queue[bytes | None] = queue.Queue(_WAITING)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._drain, name="lamina-write", daemon=True)

    def write(self, piece: bytes) -> None:
        if self._error is not None:
            raise self._error
        self._pieces.put(piece)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._pieces.put(None)
        self._thread.join()
        if error is None and self._error is not None:
            raise self._error

    def _drain(self) -> None:
        """Write until the end is announced. After an error the rest is thrown away, so that nobody waits for room."""
        while (piece := self._pieces.get()) is not None:
            if self._error is not None:
                continue
            try:
                _write_all(self._sink, piece)
            except BaseException as error:
                self._error = error
        if self._error is None:
            try:
                self._sink.flush()
            except BaseException as error:
                self._error = error
