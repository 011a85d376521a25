"""The monitor's side of health checks: running them beside everything else that it does."""

import os
import select
import time
from collections.abc import Callable

from lamina import signal
from lamina.container.execution import ExecRequest, Execution
from lamina.container.health import HealthCheck, Result
from lamina.contextlib import suppress
from lamina.errors import LaminaError

_NANOSECONDS = 10**9
_OUTPUT_LIMIT = 4096
#: Exit code of a check that took too long or could not be started.
_NO_ANSWER = -1

#: Starts a check; ``None`` when the container is paused.
Start = Callable[[ExecRequest], Execution | None]


class Checker:
    """Runs the checks of one run beside everything else that the monitor does."""

    def __init__(self, check: HealthCheck, start: Start, report: Callable[[Result], None]) -> None:
        self._check = check
        self._start = start
        self._report = report
        self._due = time.monotonic() + check.interval / _NANOSECONDS
        self._running: Execution | None = None
        self._handle = -1
        self._begun = 0
        self._output = bytearray()
        self._too_late = False

    @property
    def pid(self) -> int:
        """Of the child that runs the check now; 0 for none. Only this object may wait for it."""
        return self._running.entered.pid if self._running is not None else 0

    def seconds(self) -> float:
        """Until :meth:`step` has something to do."""
        return max(0.0, self._due - time.monotonic())

    def register(self, poll: "select.poll") -> None:
        if self._running is not None:
            poll.register(self._handle, select.POLLIN)
            for source in self._running.streams.sources:
                poll.register(source, select.POLLIN)

    def __contains__(self, descriptor: object) -> bool:
        running = self._running
        return running is not None and (descriptor == self._handle or descriptor in running.streams.sources)

    def handle(self, descriptor: int) -> None:
        """There is output, or the check has ended."""
        assert self._running is not None
        if descriptor != self._handle:
            self._read(descriptor)
            return
        for source in tuple(self._running.streams.sources):
            self._read(source)
        self._finish()

    def step(self) -> None:
        """Start a check, or end one that takes too long, if it is time."""
        if time.monotonic() < self._due:
            return
        if self._running is None:
            self._begin()
            return
        self._too_late = True
        self._kill()
        self._due = time.monotonic() + 1  # should it not have been executed yet, there was nothing to kill

    def _begin(self) -> None:
        self._begun = time.time_ns()
        self._output.clear()
        self._too_late = False
        try:
            self._running = self._start(ExecRequest(self._check.command))
        except (LaminaError, OSError) as error:
            self._output += str(error).encode()
            self._ended(_NO_ANSWER)
            return
        if self._running is None:
            self._due = time.monotonic() + self._check.interval / _NANOSECONDS
            return
        self._handle = os.pidfd_open(self._running.entered.pid)
        self._due = time.monotonic() + self._check.timeout / _NANOSECONDS

    def _read(self, source: int) -> None:
        assert self._running is not None
        data = self._running.streams.read(source, _OUTPUT_LIMIT)
        self._output += data[: _OUTPUT_LIMIT - len(self._output)]

    def _finish(self) -> None:
        assert self._running is not None
        try:
            code = self._running.entered.wait()
            self._running.ended(code)
        except LaminaError as error:
            code = _NO_ANSWER
            self._output[:] = str(error).encode()
        self._close()
        if self._too_late:
            code = _NO_ANSWER
            self._output[:] = f"Health check exceeded timeout ({_text(self._check.timeout)})".encode()
        self._ended(code)

    def _ended(self, code: int) -> None:
        self._due = time.monotonic() + self._check.interval / _NANOSECONDS
        self._report(Result(self._begun, time.time_ns(), code, self._output.decode(errors="replace")))

    def _kill(self) -> None:
        assert self._running is not None
        # The runtime is this process's child, not waited for yet, and waits for the check: the pid is still its own.
        pid = self._running.entered.process()
        if pid:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def stop(self) -> None:
        """The run is over."""
        if self._running is not None:
            with suppress(LaminaError):
                self._running.entered.wait()
            self._close()

    def _close(self) -> None:
        assert self._running is not None
        os.close(self._handle)
        self._running.close()
        self._running = None


def _text(nanoseconds: int) -> str:
    """A duration as Go prints it."""
    seconds, rest = divmod(nanoseconds, _NANOSECONDS)
    if seconds == 0:
        return f"{rest / 10**6:g}ms"
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    larger = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{larger}{seconds + rest / _NANOSECONDS:g}s"
