"""Builds stages, each once, and those that don't need one another at the same time.

A stage is built by the thread that asks for it first; whoever needs one that another thread builds waits for it. The
first failure ends them all.
"""

from __future__ import annotations

from _thread import get_ident
from collections.abc import Callable, Iterator, Sequence
from threading import Condition, Thread

from lamina.errors import Cancelled
from lamina.typing import Generic, TypeVar

_T = TypeVar("_T")
#: Stages that are built at the same time.
_WORKERS = 16
#: Seconds after which a signal is seen that came just before the wait, which it did not end.
_LOOK = 0.5


class Schedule(Generic[_T]):
    """The stages of one build, by number.

    :param build: builds one, asking :meth:`get` for what it needs.
    :param circular: the error for stages that wait for one another.
    :param cancel: makes threads that build give up soon.
    """

    def __init__(
        self, build: Callable[[int], _T], circular: Callable[[int], Exception], cancel: Callable[[], None]
    ) -> None:
        self._build = build
        self._circular = circular
        self._cancel = cancel
        self._changed = Condition()
        self._done: dict[int, _T] = {}
        self._builders: dict[int, int] = {}
        self._waiting: dict[int, int] = {}
        self._failure: BaseException | None = None
        self._threads: list[Thread] = []
        self._begun = self._ended = 0

    @property
    def results(self) -> list[_T]:
        """Those that are finished."""
        return list(self._done.values())

    def run(self, order: Sequence[int], *, threads: bool) -> _T:
        """Build all of ``order``, where each comes after what it needs; the last one.

        :param threads: whether some of them don't need one another.
        :raises BaseException: the first failure of any of them; none is being built any more then.
        """
        pending = iter(order)
        if threads:
            self._threads = [Thread(target=self._work, args=(pending,)) for _ in range(min(len(order), _WORKERS))]
        try:
            for thread in self._threads:
                thread.start()
            if threads:
                self._wait(
                    len(self._threads)
                )  # or this thread would begin at the end, as deep in calls as there are stages
            else:
                for number in pending:
                    self.get(number)
            result = self.get(order[-1])
        except BaseException as error:
            self._fail(error)
            self._wait()
            assert self._failure is not None
            if self._failure is not error:
                raise self._failure from None
            raise
        return result

    def _wait(self, begun: int = 0) -> None:
        """Wait until so many threads have begun to work, and all that have have ended.

        ``Thread.join`` would not do: once interrupted it takes the thread for one that has ended. One that begins after
        a failure ends at once.
        """
        with self._changed:
            while self._begun < begun or self._ended < self._begun:
                self._changed.wait(_LOOK)

    def _work(self, pending: Iterator[int]) -> None:
        """What a thread does: the next one, until there is none. :meth:`run` raises what goes wrong.

        Since they are taken in order, the first of those that are being built waits for nothing.
        """
        with self._changed:
            self._begun += 1
        try:
            while True:
                with self._changed:
                    number = next(pending, None)
                if number is None:
                    return
                self.get(number)
        except BaseException as error:  # also what nobody expects: it would be lost in here
            self._fail(error)
        finally:
            with self._changed:
                self._ended += 1
                self._changed.notify_all()

    def get(self, number: int) -> _T:
        """One stage, built now unless that has been done or is being done.

        :raises Cancelled: another one failed.
        """
        me = get_ident()
        with self._changed:
            while True:
                if self._failure is not None:
                    raise Cancelled("context canceled")
                if number in self._done:
                    return self._done[number]
                if number not in self._builders:
                    self._builders[number] = me
                    break
                self._refuse_circle(number, me)
                self._waiting[me] = number
                try:
                    self._changed.wait()
                finally:
                    del self._waiting[me]
        try:
            result = self._build(number)
        except BaseException as error:
            self._fail(error)
            raise
        with self._changed:
            self._done[number] = result
            self._changed.notify_all()
        return result

    def is_done(self, number: int) -> bool:
        """Whether :meth:`get` would neither build nor wait."""
        return number in self._done

    def _refuse_circle(self, number: int, me: int) -> None:
        """Raise when waiting would never end: whoever builds ``number`` waits for this thread."""
        wanted: int | None = number
        while wanted is not None and wanted not in self._done:
            builder = self._builders.get(wanted)
            if builder == me:
                raise self._circular(number)
            wanted = self._waiting.get(builder) if builder is not None else None

    def _fail(self, error: BaseException) -> None:
        with self._changed:
            if self._failure is not None:
                return
            self._failure = error
            self._changed.notify_all()
        if self._threads:
            self._cancel()
