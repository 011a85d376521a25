"""A few tasks at a time, all of them or the first error."""

from __future__ import annotations

import threading
import time

import pytest

from lamina.distribution.parallel import Stop, Workers, run_all
from lamina.errors import Cancelled


class Cancel:
    """Counts how often it is called, and lets tasks wait for that."""

    def __init__(self) -> None:
        self.calls = 0
        self.called = threading.Event()

    def __call__(self) -> None:
        self.calls += 1
        self.called.set()


def test_no_more_tasks_run_at_once_than_allowed_and_each_runs_once() -> None:
    lock, running, most, done = threading.Lock(), 0, 0, []
    all_begun = threading.Event()

    def task(number: int) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        assert all_begun.wait(10)
        time.sleep(0.005)
        with lock:
            running -= 1
            done.append(number)

    cancel = Cancel()
    with Workers(3, cancel) as workers:
        begun = [workers.start(lambda number=number: task(number)) for number in range(12)]
        all_begun.set()
        workers.finish()
    assert begun[:3] == [True] * 3
    assert not begun[3]
    assert sorted(done) == list(range(12))
    assert most == 3
    assert cancel.calls == 0


def test_a_failure_cancels_what_runs_and_drops_what_waits() -> None:
    cancel, done = Cancel(), []

    def cancelled() -> None:
        assert cancel.called.wait(5)
        raise Cancelled("context canceled")

    def fail() -> None:
        time.sleep(0.02)
        raise ValueError("the cause")

    with Workers(2, cancel) as workers:
        workers.start(cancelled)
        workers.start(fail)
        workers.start(lambda: done.append("never"))
        with pytest.raises(ValueError, match="the cause"):
            workers.finish()
    assert done == []
    assert cancel.calls == 1


def test_who_leaves_with_an_error_waits_for_what_runs() -> None:
    cancel, ended = Cancel(), []

    def task() -> None:
        assert cancel.called.wait(5)
        ended.append(True)

    def interrupted() -> None:
        with Workers(2, cancel) as workers:
            workers.start(task)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert ended == [True]


@pytest.mark.parametrize("number", [0, 1, 5])
def test_all_are_run(number: int) -> None:
    done: list[Stop] = []
    run_all([done.append] * number, 2)
    assert len(done) == number


def test_of_all_the_others_are_told_to_stop() -> None:
    def wait(stop: Stop) -> None:
        while True:
            stop.check()
            time.sleep(0.001)

    def fail(stop: Stop) -> None:
        raise ValueError("the cause")

    with pytest.raises(ValueError, match="the cause"):
        run_all([wait, fail, wait], 2)
