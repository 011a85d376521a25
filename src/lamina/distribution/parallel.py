"""A few tasks at a time, all of them or the first error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock, Thread
from types import TracebackType

from lamina.errors import Cancelled
from lamina.typing import Protocol, Self


class Workers:
    """Threads that do tasks, begun in the order in which they come. Leaving the ``with`` block waits for all threads.

    When a task fails those that have not begun are dropped.

    :param limit: tasks that run at once.
    :param cancel: makes the tasks that run end soon; called, from any thread, after the first failure and when the
        ``with`` block ends with an error.
    """

    def __init__(self, limit: int, cancel: Callable[[], None]) -> None:
        self._limit = limit
        self._cancel = cancel
        self._lock = Lock()
        self._waiting: list[Callable[[], object]] = []
        self._running = 0
        self._threads: list[Thread] = []
        self._errors: list[BaseException] = []
        self._stopped = False

    def start(self, task: Callable[[], object]) -> bool:
        """Begin ``task``, or put it in line; whether it could begin at once."""
        with self._lock:
            self._waiting.append(task)
            begins = self._running < self._limit
            self._running += begins
        if begins:
            thread = Thread(target=self._work, name="lamina-worker", daemon=True)
            self._threads.append(thread)
            thread.start()
        return begins

    def finish(self) -> None:
        """Wait for all tasks. Raises what failed first, rather not what was cancelled because of that."""
        for thread in self._threads:
            thread.join()
        if self._errors:
            raise next((error for error in self._errors if not isinstance(error, Cancelled)), self._errors[0])

    def _work(self) -> None:
        while True:
            with self._lock:
                if self._stopped or not self._waiting:
                    self._running -= 1
                    return
                task = self._waiting.pop(0)
            try:
                task()
            except BaseException as error:  # handed to the thread that waits
                with self._lock:
                    self._errors.append(error)
                self._stop()

    def _stop(self) -> None:
        with self._lock:
            stopped, self._stopped = self._stopped, True
        if not stopped:
            self._cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            self._stop()
        for thread in self._threads:
            thread.join()


class Stop:
    """Tells tasks that another one has failed."""

    def __init__(self) -> None:
        self._set = False

    def set(self) -> None:
        self._set = True

    def check(self) -> None:
        """Raises :class:`lamina.errors.Cancelled` when there is no point in going on."""
        if self._set:
            raise Cancelled("stopped, because something else failed")


class Task(Protocol):
    """A piece of work that looks at ``stop`` from time to time."""

    def __call__(self, stop: Stop, /) -> None: ...


def run_all(tasks: Sequence[Task], workers: int) -> None:
    """Run ``tasks``, started in their order, at most ``workers`` at a time.

    When one fails the others are told to stop, and when all have ended the first error is raised.
    """
    stop = Stop()
    if len(tasks) <= 1:
        for task in tasks:
            task(stop)
        return
    with Workers(workers, stop.set) as pool:
        for task in tasks:
            pool.start(lambda task=task: task(stop))  # type: ignore[misc] # mypy infers nothing of a default
        pool.finish()
