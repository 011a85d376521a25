"""A long operation: events in order, a result, errors, and cancelling by leaving."""

import threading

import pytest

from lamina.engine.operation import Operation
from lamina.errors import Cancelled, NotFound
from lamina.progress import Event, Report


def test_events_come_in_order_and_the_result_follows() -> None:
    def work(report: Report) -> int:
        for number in range(100):
            report(Event(str(number)))
        return 7

    operation = Operation(work)
    assert [event.status for event in operation] == [str(number) for number in range(100)]
    assert operation.result() == 7


def test_the_result_alone_needs_no_iteration() -> None:
    operation = Operation(lambda report: report(Event("x")) or 5)
    assert operation.result() == 5
    assert operation.result() == 5


def test_an_error_reaches_whoever_iterates() -> None:
    def work(report: Report) -> None:
        report(Event("before"))
        raise NotFound("gone")

    seen = []
    with pytest.raises(NotFound, match="gone"):
        seen.extend(Operation(work))
    with pytest.raises(NotFound):
        Operation(work).result()


def test_leaving_the_iteration_cancels_the_work() -> None:
    ended: list[BaseException] = []
    go_on = threading.Event()

    def work(report: Report) -> None:
        try:
            report(Event("one"))
            go_on.wait(10)
            report(Event("two"))
        except BaseException as error:
            ended.append(error)
            raise

    operation = Operation(work)
    for _ in operation:
        threading.Timer(0.05, go_on.set).start()
        break
    assert isinstance(ended[0], Cancelled)
    with pytest.raises(Cancelled):
        operation.result()
