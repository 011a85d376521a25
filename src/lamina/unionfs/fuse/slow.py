"""Work that would hold up the request loop: synchronizing, copying much. One thread does it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue

from lamina import contextlib


class SlowWork:
    """A thread that takes tasks in order, and a descriptor that is readable when one has something for the loop."""

    def __init__(self) -> None:
        self.wake_read, self.wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._tasks: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._finished: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def submit(self, task: Callable[[], None]) -> None:
        """Run ``task`` in the thread; it must not raise."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="lamina-slow", daemon=True)
            self._thread.start()
        self._tasks.put(task)

    def hand_back(self, task: Callable[[], None]) -> None:
        """Have the loop run ``task``; from the thread."""
        self._finished.put(task)
        self.wake()

    def wake(self) -> None:
        """Make the loop look up."""
        with contextlib.suppress(BlockingIOError):  # it has enough reason already
            os.write(self.wake_write, b"\0")

    def run_finished(self) -> None:
        """In the loop: what was handed back."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.wake_read, 4096)
        while not self._finished.empty():
            self._finished.get()()

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            task()

    def close(self) -> None:
        """Finish what was begun."""
        if self._thread is not None:
            self._tasks.put(None)
            self._thread.join()
            self._thread = None
        os.close(self.wake_read)
        os.close(self.wake_write)
