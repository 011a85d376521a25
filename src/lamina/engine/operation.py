"""A long operation as an iterator of progress events with a result."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lamina.errors import Cancelled
from lamina.progress import Event, Report, ignore
from lamina.typing import Generic, TypeVar

Result = TypeVar("Result")


class Operation(Generic[Result]):
    """Work that has been described and not begun.

    Iterate over it for its events, or ask for :meth:`result` at once; either begins it. Leaving the iteration early
    cancels the work, which then undoes itself.

    >>> operation = Operation(lambda report: (report(Event("Counting")), 3)[1])
    >>> [event.status for event in operation], operation.result()
    (['Counting'], 3)
    """

    def __init__(self, work: Callable[[Report], Result]) -> None:
        self._work = work
        self._outcome: list[Result] = []
        self._error: BaseException | None = None
        self._began = False

    def __iter__(self) -> Iterator[Event]:
        import queue  # who only asks for results needs neither
        import threading

        self._begin()
        events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        cancelled = threading.Event()

        def report(event: Event) -> None:
            if cancelled.is_set():
                raise Cancelled("context canceled")
            events.put(event)

        def work() -> None:
            try:
                self._outcome.append(self._work(report))
            except BaseException as error:
                self._error = error
            finally:
                events.put(None)

        thread = threading.Thread(target=work, name="lamina-operation", daemon=True)
        thread.start()
        try:
            while (event := events.get()) is not None:
                yield event
        finally:
            cancelled.set()
            thread.join()
        if self._error is not None:
            raise self._error

    def result(self) -> Result:
        """The result; does the work now unless an iteration did. Raises what the work raised."""
        if not self._began:
            self._begin()
            return self._finish(self._work(ignore))
        if self._error is not None:
            raise self._error
        if not self._outcome:
            raise Cancelled("the operation was not iterated to its end")
        return self._outcome[0]

    def _begin(self) -> None:
        if self._began:
            raise RuntimeError("an operation runs once")
        self._began = True

    def _finish(self, outcome: Result) -> Result:
        self._outcome.append(outcome)
        return outcome
