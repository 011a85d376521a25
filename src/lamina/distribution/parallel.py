"""A few tasks at a time, all of them or the first error."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from lamina.errors import Cancelled
from lamina.typing import Protocol


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
    if len(tasks) <= 1:
        for task in tasks:
            task(Stop())
        return
    pool = _Pool(tasks)
    threads = [threading.Thread(target=pool.work, daemon=True) for _ in range(min(workers, len(tasks)))]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except BaseException:  # an interrupt arrives in the main thread only
        pool.stop.set()
        for thread in threads:
            thread.join()
        raise
    if pool.errors:
        raise pool.errors[0]


class _Pool:
    def __init__(self, tasks: Sequence[Task]) -> None:
        self.stop = Stop()
        self.errors: list[BaseException] = []
        self._tasks = iter(tasks)
        self._lock = threading.Lock()

    def work(self) -> None:
        while True:
            with self._lock:
                task = None if self.errors else next(self._tasks, None)
            if task is None:
                return
            try:
                task(self.stop)
            except BaseException as error:  # handed to the thread that waits
                with self._lock:
                    self.errors.append(error)
                self.stop.set()
