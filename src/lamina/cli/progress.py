"""Shows an operation's events: a line per layer that changes in place on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import threading
import time

from lamina.cli.units import human_size
from lamina.progress import Event, Report, ignore
from lamina.typing import TextIO

#: Seconds between two pictures of one layer's bytes.
_INTERVAL = 0.1
_BAR_WIDTH = 110
_BAR = 50


def reporter(out: TextIO, *, quiet: bool = False) -> Report:
    """What to give an operation as its ``report``; usable from any thread."""
    if quiet:
        return ignore
    return _Terminal(out) if out.isatty() else _Lines(out)


class _Lines:
    """For files and pipes: each change of state, without counts of bytes."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        if not event.status or event.current or event.total:
            return
        with self._lock:
            self._out.write(f"{event.id}: {event.status}\n" if event.id else f"{event.status}\n")
            self._out.flush()


class _Terminal:
    """Layers keep the line that they first appeared on; whatever is not about a layer starts below them."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._lock = threading.Lock()
        self._lines: dict[str, int] = {}
        self._drawn: dict[str, tuple[str, float]] = {}

    def __call__(self, event: Event) -> None:
        if not event.status:
            return
        with self._lock:
            if event.id and _is_layer(event):
                self._draw_layer(event)
            else:
                self._lines.clear()
                self._out.write(f"{event.id}: {event.status}\n" if event.id else f"{event.status}\n")
            self._out.flush()

    def _draw_layer(self, event: Event) -> None:
        now = time.monotonic()
        status, drawn = self._drawn.get(event.id, ("", 0.0))
        if event.status == status and now - drawn < _INTERVAL and event.current != event.total:
            return
        self._drawn[event.id] = event.status, now
        if event.id not in self._lines:
            self._lines[event.id] = len(self._lines)
            self._out.write("\n")
        columns, rows = _size(self._out)
        up = len(self._lines) - self._lines[event.id]
        if up >= rows:
            return  # scrolled out of sight; moving there would draw over another layer's line
        line = f"{event.id}: {event.status} {_amount(event, columns)}"[: columns - 1]
        self._out.write(f"\x1b[{up}A\x1b[2K\r{line}\r\x1b[{up}B")


def _is_layer(event: Event) -> bool:
    return not event.status.startswith("Pulling from ")


def _size(out: TextIO) -> tuple[int, int]:
    try:
        size = os.get_terminal_size(out.fileno())
    except OSError:
        return 80, 24
    return size.columns or 80, size.lines or 24


def _amount(event: Event, columns: int) -> str:
    """``[=====>     ]  36.45kB/1.064MB``; the bar only where there is room."""
    if not event.current and not event.total:
        return ""
    if event.total <= 0:
        return f"{human_size(event.current):>8}"
    numbers = f"{human_size(min(event.current, event.total)):>8}/{human_size(event.total)}"
    if columns <= _BAR_WIDTH:
        return numbers
    full = min(event.current * _BAR // event.total, _BAR)
    return f"[{'=' * full}>{' ' * (_BAR - full)}] {numbers}"
