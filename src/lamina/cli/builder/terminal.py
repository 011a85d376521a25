"""A build on a terminal: finished steps scroll up, running ones stay at the bottom with the end of what they write.

The picture is drawn over the one before it, line by line, so nothing flickers; a window that has become another size is
noticed with the next picture, and what the old one has become there is taken away. It is drawn ten times a second at
most, and as long as anything runs, for the seconds.
"""

from __future__ import annotations

import os
import re
import threading
import time
import unicodedata

from lamina.builder.progress import CACHED, FAILED, OUTPUT, START, WARNING, StepEvent, is_cancelled
from lamina.typing import TextIO

#: Lines of output that are seen below a running step.
_WINDOW = 6
#: Bytes of one line of output that are kept.
_LINE = 4096
_INTERVAL = 0.1
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-_])")
#: Synchronized output (terminals that don't know it ignore it): the picture appears whole.
_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"


class _Running:
    """A step that goes on."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.begun = time.monotonic()
        self.lines = [""]

    def take(self, data: bytes) -> None:
        """More output. A line that was written over is what was written last."""
        text = _ESCAPES.sub("", data.decode("utf-8", "replace")).replace("\r\n", "\n")
        first, *rest = text.split("\n")
        for number, piece in enumerate([self.lines[-1] + first, *rest]):
            shown = piece.rstrip("\r").rpartition("\r")[2][-_LINE:]
            if number:
                self.lines.append(shown)
            else:
                self.lines[-1] = shown
        del self.lines[: -_WINDOW - 1]

    def tail(self, count: int) -> list[str]:
        """The last lines that are not empty."""
        return [line for line in self.lines if line.strip()][-count:] if count else []


class TerminalView:
    """A build's report; usable from any thread.

    :param interval: seconds between two pictures when nothing begins or ends.
    """

    def __init__(self, out: TextIO, interval: float = _INTERVAL) -> None:
        self._out = out
        self._interval = interval
        self._lock = threading.Lock()
        self._begun = time.monotonic()
        self._running: dict[int, _Running] = {}
        self._done = 0
        self._above: list[str] = []
        self._drawn: list[int] = []
        self._columns = 0
        self._last = 0.0
        self._closed = threading.Event()
        self._ticker: threading.Thread | None = None

    def __call__(self, event: StepEvent) -> None:
        with self._lock:
            urgent = self._take(event)
            if urgent or time.monotonic() - self._last >= self._interval:
                self._draw()
            if self._ticker is None and not self._closed.is_set():
                self._ticker = threading.Thread(target=self._tick, name="lamina-progress", daemon=True)
                self._ticker.start()

    def close(self) -> None:
        """Leave the terminal in order. Idempotent."""
        if self._closed.is_set():
            return
        self._closed.set()
        with self._lock:
            self._running.clear()
            self._draw()
        if self._ticker is not None:
            self._ticker.join()
            self._ticker = None

    def _tick(self) -> None:
        while not self._closed.wait(self._interval):
            with self._lock:
                if self._running and time.monotonic() - self._last >= self._interval:
                    self._draw()

    def _take(self, event: StepEvent) -> bool:
        """Note what happened; whether it should be seen at once."""
        if event.kind == START:
            self._running[event.number] = _Running(event.name)
        elif event.kind == OUTPUT:
            running = self._running.get(event.number)
            if running is not None:
                running.take(event.data)
            return False
        elif event.kind == WARNING:
            self._above.append(event.data.decode("utf-8", "replace"))
        else:
            self._running.pop(event.number, None)
            self._done += 1
            self._above += self._finished(event)
        return True

    def _finished(self, event: StepEvent) -> list[str]:
        columns = _size(self._out)[0]
        if event.kind == FAILED:
            word = "CANCELED" if is_cancelled(event) else "ERROR"
            return [_line(f" => {word} {event.name}", f"{event.seconds:.1f}s", columns)]
        if event.kind == CACHED:
            return [_line(f" => CACHED {event.name}", "0.0s", columns)]
        return [_line(f" => {event.name}", f"{event.seconds:.1f}s", columns)]

    def _picture(self, columns: int, rows: int) -> list[str]:
        """The lines at the bottom; fewer than the window has."""
        if not self._running:
            return []
        now = time.monotonic()
        lines = [_line(f"[+] Building {now - self._begun:.1f}s ({self._done} done)", "", columns)]
        shown = list(self._running.values())[: max(rows - 2, 1)]
        room = max(rows - 2 - len(shown), 0) // len(shown)
        for running in shown:
            lines.append(_line(f" => {running.name}", f"{now - running.begun:.1f}s", columns))
            lines += [_line(f" => => # {line}", "", columns) for line in running.tail(min(room, _WINDOW))]
        return lines

    def _draw(self) -> None:
        columns, rows = _size(self._out)
        picture = self._picture(columns, rows)
        parts = [_BEGIN, self._home(columns)]
        parts += [f"{line}\x1b[K\n" for line in (*self._above, *picture)]
        parts += ["\x1b[J", _END]
        self._above.clear()
        self._drawn = [_cells(line) for line in picture]
        self._columns = columns
        self._last = time.monotonic()
        self._out.write("".join(parts))
        self._out.flush()

    def _home(self, columns: int) -> str:
        """To the first line of the picture before, which a narrower window has broken into more lines."""
        count = len(self._drawn)
        if columns < self._columns:
            count = sum(max(-(-cells // columns), 1) for cells in self._drawn)
        return f"\r\x1b[{count}A" if count else "\r"


def _line(text: str, right: str, columns: int) -> str:
    """``text`` in what room there is, ``right`` at the edge. The last column stays free: some terminals wrap there."""
    width = max(columns - 1, 1)
    room = max(width - len(right) - 1, 1) if right else width
    shown, cells = [], 0
    for char in (char if char.isprintable() else " " for char in text):
        if cells + _width(char) > room:
            break
        cells += _width(char)
        shown.append(char)
    return "".join(shown) + (" " * (room - cells + 1) + right if right else "")


def _width(char: str) -> int:
    """Columns that a character takes."""
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("F", "W") else 1


def _cells(line: str) -> int:
    return sum(map(_width, line))


def _size(out: TextIO) -> tuple[int, int]:
    try:
        size = os.get_terminal_size(out.fileno())
    except (OSError, ValueError):
        return 80, 24
    return size.columns or 80, size.lines or 24
