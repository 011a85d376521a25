"""Shows a build: plain lines for files and pipes, one line per step that changes in place on a terminal."""

from __future__ import annotations

import os
import threading
import time
from typing import TextIO

from lamina.builder.progress import CACHED, DONE, FAILED, OUTPUT, START, WARNING, StepEvent
from lamina.cli.command import CommandError

#: Lines of a failed command's output that are shown again at the end.
_TAIL = 20
#: Lines of output that are seen below a running step on a terminal.
_WINDOW = 4
_INTERVAL = 0.1


class Reporter:
    """What a build calls; usable from any thread."""

    def __call__(self, event: StepEvent) -> None:
        """Tell of it."""

    def close(self) -> None:
        """Leave the terminal in order. Idempotent."""


def reporter(out: TextIO, kind: str, *, quiet: bool) -> Reporter:
    """
    :param kind: ``auto``, ``plain``, ``tty`` or ``quiet``.
    """
    if kind not in ("auto", "plain", "tty", "quiet"):
        raise CommandError(f"invalid progress mode {kind}")
    if quiet:
        return _Quiet(out)
    if kind == "tty" or (kind == "auto" and out.isatty()):
        return _Terminal(out)
    return _Lines(out)


def _last_lines(data: bytes) -> list[str]:
    return data.decode("utf-8", "replace").splitlines()[-_TAIL:]


class _Quiet(Reporter):
    """Only what went wrong."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def __call__(self, event: StepEvent) -> None:
        if event.kind == FAILED:
            self._out.write("".join(f"{line}\n" for line in _last_lines(event.data)))


class _Lines(Reporter):
    """``#3 [2/5] RUN make``, ``#3 0.512 output``, ``#3 DONE 1.2s``."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._lock = threading.Lock()
        self._begun: dict[int, float] = {}
        self._partial: dict[int, str] = {}

    def __call__(self, event: StepEvent) -> None:
        with self._lock:
            self._show(event)
            self._out.flush()

    def _show(self, event: StepEvent) -> None:
        number = event.number
        if event.kind == START:
            self._begun[number] = time.monotonic()
            self._out.write(f"\n#{number} {event.name}\n")
        elif event.kind == OUTPUT:
            self._output(number, event.data.decode("utf-8", "replace"))
        elif event.kind == CACHED:
            self._out.write(f"#{number} CACHED\n")
        elif event.kind == WARNING:
            self._out.write(event.data.decode("utf-8", "replace") + "\n")
        elif event.kind in (DONE, FAILED):
            if self._partial.get(number):
                self._output(number, "\n")
            word = f"DONE {event.seconds:.1f}s" if event.kind == DONE else f"ERROR after {event.seconds:.1f}s"
            self._out.write(f"#{number} {word}\n")
            if event.kind == FAILED:
                shown = "".join(f"{line}\n" for line in _last_lines(event.data))
                self._out.write(f"------\n > {event.name}:\n{shown}------\n")

    def _output(self, number: int, text: str) -> None:
        *lines, rest = (self._partial.pop(number, "") + text).split("\n")
        self._partial[number] = rest
        elapsed = time.monotonic() - self._begun.get(number, time.monotonic())
        for line in lines:
            self._out.write(f"#{number} {elapsed:.3f} {line.rstrip(chr(13))}\n")


class _Terminal(Reporter):
    """Finished steps scroll up; running ones stay at the bottom with the last lines of what they write."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._lock = threading.Lock()
        self._running: dict[int, tuple[str, float, list[str]]] = {}
        self._drawn = 0
        self._last = 0.0

    def __call__(self, event: StepEvent) -> None:
        with self._lock:
            self._take(event)

    def _take(self, event: StepEvent) -> None:
        number, above = event.number, ""
        if event.kind == START:
            self._running[number] = event.name, time.monotonic(), [""]
        elif event.kind == OUTPUT:
            lines = self._running[number][2]
            first, *rest = event.data.decode("utf-8", "replace").replace("\r\n", "\n").split("\n")
            lines[-1] += first
            lines.extend(rest)
            del lines[:-_WINDOW]
            if time.monotonic() - self._last < _INTERVAL:
                return
        elif event.kind == WARNING:
            above = event.data.decode("utf-8", "replace") + "\n"
        else:
            self._running.pop(number, None)
            above = self._finished(event)
        self._draw(above)

    def _finished(self, event: StepEvent) -> str:
        if event.kind == FAILED:
            shown = "".join(f"{line}\n" for line in _last_lines(event.data))
            return f" => ERROR {event.name}\n------\n > {event.name}:\n{shown}------\n"
        time_ = "" if event.kind == CACHED else f"{event.seconds:.1f}s"
        word = "CACHED " if event.kind == CACHED else ""
        return self._line(f" => {word}{event.name}", time_) + "\n"

    def _line(self, text: str, right: str = "") -> str:
        width = self._width() - 1
        room = max(width - len(right) - 1, 10)
        shown = "".join(char if char.isprintable() else " " for char in text)
        return f"{shown[:room]:<{room}} {right}" if right else shown[:width]

    def _width(self) -> int:
        try:
            return os.get_terminal_size(self._out.fileno()).columns or 80
        except OSError:
            return 80

    def _draw(self, above: str) -> None:
        self._last = time.monotonic()
        parts = [f"\x1b[{self._drawn}A" if self._drawn else "", "\r\x1b[J", above]
        lines = []
        for name, begun, output in self._running.values():
            lines.append(self._line(f" => {name}", f"{time.monotonic() - begun:.1f}s"))
            lines += [self._line(f" => => {line}") for line in output if line]
        self._drawn = len(lines)
        parts += [f"{line}\n" for line in lines]
        self._out.write("".join(parts))
        self._out.flush()

    def close(self) -> None:
        with self._lock:
            self._running.clear()
            self._drawn = 0
