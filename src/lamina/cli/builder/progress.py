"""Shows a build: plain lines for files and pipes, BuildKit's JSON for programs, a picture on a terminal."""

from __future__ import annotations

import threading
import time

from lamina import json
from lamina.builder.progress import CACHED, DONE, FAILED, OUTPUT, START, WARNING, StepEvent, is_cancelled
from lamina.cli.command import CommandError
from lamina.typing import Protocol, TextIO

MODES = ("auto", "plain", "tty", "quiet", "rawjson")
#: Lines of a failed command's output that are shown again at the end.
_TAIL = 20


class Reporter(Protocol):
    """What a build calls; usable from any thread."""

    def __call__(self, event: StepEvent) -> None:
        """Tell of it."""

    def close(self) -> None:
        """Leave the terminal in order. Idempotent."""


def reporter(out: TextIO, kind: str, *, quiet: bool) -> Reporter:
    """
    :param kind: one of :data:`MODES`.
    """
    if kind not in MODES:
        raise CommandError(f"invalid progress mode {kind}")
    if quiet:
        return _Failures(out, None)
    if kind == "rawjson":
        return _Raw(out)
    if kind == "tty" or (kind == "auto" and out.isatty()):
        from lamina.cli.builder.terminal import TerminalView

        return _Failures(out, TerminalView(out))
    return _Failures(out, _Lines(out))


class _Failures:
    """Passes everything on to a view, and shows at the end what a failed step wrote last."""

    def __init__(self, out: TextIO, view: Reporter | None) -> None:
        self._out = out
        self._view = view
        self._failed: list[StepEvent] = []

    def __call__(self, event: StepEvent) -> None:
        if event.kind == FAILED and not is_cancelled(event):
            self._failed.append(event)
        if self._view is not None:
            self._view(event)

    def close(self) -> None:
        if self._view is not None:
            self._view.close()
        for event in self._failed:
            text = "\n".join(_last_lines(event.data))
            self._out.write(f"------\n > {event.name}:\n{text}\n------\n" if text else f"------\n > {event.name}\n")
        self._failed.clear()
        self._out.flush()


def _last_lines(data: bytes) -> list[str]:
    return data.decode("utf-8", "replace").splitlines()[-_TAIL:]


class _Lines:
    """``#3 [2/5] RUN make``, ``#3 0.512 output``, ``#3 DONE 1.2s``."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._lock = threading.Lock()
        self._begun: dict[int, float] = {}
        self._partial: dict[int, bytes] = {}

    def __call__(self, event: StepEvent) -> None:
        with self._lock:
            self._show(event)
            self._out.flush()

    def close(self) -> None:
        """There is nothing to put in order."""

    def _show(self, event: StepEvent) -> None:
        number = event.number
        if event.kind == START:
            self._begun[number] = time.monotonic()
            self._out.write(f"\n#{number} {event.name}\n")
        elif event.kind == OUTPUT:
            self._output(number, event.data)
        elif event.kind == CACHED:
            self._out.write(f"#{number} CACHED\n")
        elif event.kind == WARNING:
            self._out.write(event.data.decode("utf-8", "replace") + "\n")
        elif event.kind in (DONE, FAILED):
            if self._partial.get(number):
                self._output(number, b"\n")
            word = f"DONE {event.seconds:.1f}s" if event.kind == DONE else f"ERROR: {event.error}"
            word = "CANCELED" if is_cancelled(event) else word
            self._out.write(f"#{number} {word}\n")

    def _output(self, number: int, data: bytes) -> None:
        *lines, rest = (self._partial.pop(number, b"") + data).split(b"\n")
        self._partial[number] = rest
        elapsed = time.monotonic() - self._begun.get(number, time.monotonic())
        for line in lines:
            self._out.write(f"#{number} {elapsed:.3f} {line.decode('utf-8', 'replace').rstrip(chr(13))}\n")


class _Raw:
    """One JSON object a line: ``SolveStatus`` of BuildKit's client package, as ``buildx --progress rawjson`` writes."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._lock = threading.Lock()
        self._started: dict[int, str] = {}

    def __call__(self, event: StepEvent) -> None:
        with self._lock:
            self._out.write(json.dumps(self._status(event), separators=(",", ":")) + "\n")
            self._out.flush()

    def close(self) -> None:
        """There is nothing to put in order."""

    def _status(self, event: StepEvent) -> dict[str, object]:
        import base64

        from lamina.digest import Digest
        from lamina.oci import timestamp

        now = timestamp.now()
        vertex = str(Digest.of(f"{event.number} {event.name}".encode()))
        data = base64.b64encode(event.data).decode()
        if event.kind == WARNING:
            return {"warnings": [{"level": 1, "short": data}]}
        if event.kind == OUTPUT:
            return {"logs": [{"vertex": vertex, "stream": 1, "data": data, "timestamp": now}]}
        step: dict[str, object] = {"digest": vertex, "name": event.name}
        step["started"] = self._started.setdefault(event.number, now)
        if event.kind != START:
            step["completed"] = now
        if event.kind == CACHED:
            step["cached"] = True
        if event.kind == FAILED:
            step["error"] = event.error
        return {"vertexes": [step]}
