"""What a build tells while it goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from threading import Lock

from lamina.builder.job import CommandFailed
from lamina.contextlib import contextmanager
from lamina.typing import NamedTuple

#: What a step says that was given up; Docker's words.
CANCELLED = "context canceled"
START, OUTPUT, CACHED, DONE, FAILED, WARNING = "start", "output", "cached", "done", "failed", "warning"


class StepEvent(NamedTuple):
    """One thing that happened.

    :ivar kind: one of the words above.
    :ivar number: of the step, in order of their beginnings; 0 for what is about the whole build.
    :ivar name: what the step does, as a list of steps shows it.
    :ivar data: bytes that a command wrote, the last of them when it failed, or a message.
    :ivar seconds: how long it took.
    :ivar error: why it failed.
    """

    kind: str
    number: int
    name: str = ""
    data: bytes = b""
    seconds: float = 0.0
    error: str = ""


def is_cancelled(event: StepEvent) -> bool:
    """Whether a step was given up because another one failed."""
    return event.kind == FAILED and event.error == CANCELLED


#: What a build calls for each event, from any thread.
StepReport = Callable[[StepEvent], None]


def ignore(event: StepEvent) -> None:
    """The report of a caller who does not care."""


class StepProgress:
    """One step's way to whoever watches.

    :ivar cached: set when nothing had to be done.
    """

    def __init__(self, report: StepReport, number: int, name: str) -> None:
        self.number = number
        self.cached = False
        self._name = name
        self._report = report

    def output(self, data: bytes) -> None:
        self._report(StepEvent(OUTPUT, self.number, self._name, data))


class Steps:
    """Numbers the steps of one build, and tells of them. Thread-safe."""

    def __init__(self, report: StepReport = ignore) -> None:
        self._report = report
        self._lock = Lock()
        self._count = 0

    def warn(self, text: str) -> None:
        """Tell something that concerns the whole build."""
        self._report(StepEvent(WARNING, 0, "", text.encode("utf-8", "replace")))

    @contextmanager
    def step(self, name: str) -> Iterator[StepProgress]:
        """Tell of one step: begun, done or failed."""
        with self._lock:
            self._count += 1
            progress = StepProgress(self._report, self._count, name)
        self._report(StepEvent(START, progress.number, name))
        begun = time.monotonic()
        try:
            yield progress
        except BaseException as failure:
            said = failure.tail if isinstance(failure, CommandFailed) else b""
            reason = str(failure) or type(failure).__name__
            self._report(StepEvent(FAILED, progress.number, name, said, time.monotonic() - begun, reason))
            raise
        kind = CACHED if progress.cached else DONE
        self._report(StepEvent(kind, progress.number, name, b"", time.monotonic() - begun))
