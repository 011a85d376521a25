"""Stages that are built at the same time."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from threading import Barrier, Event

import pytest

from lamina.builder.schedule import Schedule
from lamina.errors import Cancelled

_PATIENCE = 60


class Circle(Exception):
    pass


def schedule(build: Callable[[int], int], cancel: Callable[[], None] = lambda: None) -> Schedule[int]:
    return Schedule(build, Circle, cancel)


def test_stages_that_nobody_needs_together_are_built_at_the_same_time() -> None:
    meeting = Barrier(3, timeout=_PATIENCE)

    def build(number: int) -> int:
        if number < 3:
            meeting.wait()
            return number
        return sum(made.get(one) for one in range(3))

    made = schedule(build)
    assert made.run([0, 1, 2, 3], threads=True) == 3


def test_each_is_built_once() -> None:
    built = []

    def build(number: int) -> int:
        built.append(number)
        return number and made.get(number - 1) + made.get(0) + 1

    made = schedule(build)
    assert made.run([0, 1, 2, 3, 4], threads=True) == 4
    assert sorted(built) == [0, 1, 2, 3, 4]
    assert sorted(made.results) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("threads", [False, True])
def test_a_very_long_row_is_no_problem(threads: bool) -> None:
    made = schedule(lambda number: number and made.get(number - 1) + 1)
    assert made.run(range(3000), threads=threads) == 2999


def test_what_nobody_foresaw_is_built_when_it_is_asked_for() -> None:
    made = schedule(lambda number: number and made.get(number - 1) + 1)
    assert made.run([0, 5], threads=True) == 5


def test_the_first_failure_cancels_the_others_and_is_raised() -> None:
    begun, stopped = Event(), Event()

    def build(number: int) -> int:
        if number == 0:
            begun.set()
            assert stopped.wait(_PATIENCE)
            raise Cancelled("because of another")
        if number == 1:
            assert begun.wait(_PATIENCE)
            raise ValueError("the reason")
        return made.get(0) + made.get(1)

    made = schedule(build, stopped.set)
    with pytest.raises(ValueError, match="the reason"):
        made.run([0, 1, 2], threads=True)
    assert stopped.is_set()
    with pytest.raises(Cancelled):
        made.get(5)


@pytest.mark.parametrize("threads", [False, True])
def test_stages_that_wait_for_one_another_fail(threads: bool) -> None:
    made = schedule(lambda number: made.get(1 - number))
    with pytest.raises(Circle):
        made.run([0, 1], threads=threads)


def test_one_that_waits_for_itself_fails() -> None:
    made: Schedule[int] = schedule(lambda number: made.get(number + 0))
    with pytest.raises(Circle):
        made.run([0], threads=False)


def test_an_interruption_waits_until_nothing_is_built_any_more() -> None:
    meeting, cancelled = Barrier(3, timeout=_PATIENCE), Event()
    ended = []

    def build(number: int) -> int:
        if meeting.wait() == 0:
            os.kill(os.getpid(), signal.SIGINT)
        assert cancelled.wait(_PATIENCE)
        time.sleep(0.2)  # it takes a while to give up
        ended.append(number)
        raise Cancelled("context canceled")

    made = schedule(build, cancelled.set)
    with pytest.raises(KeyboardInterrupt):
        made.run([0, 1, 2], threads=True)
    assert sorted(ended) == [0, 1, 2]
