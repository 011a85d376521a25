"""``lamina.contextlib`` does what the standard module does: each scenario is played with both."""

from __future__ import annotations

import contextlib as standard
import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import lamina.contextlib as ours


class Note:
    """A block that writes down how it is left, and may do something about it."""

    def __init__(self, said: list[str], name: str, *, swallow: bool = False, fail: Exception | None = None) -> None:
        self._said = said
        self._name = name
        self._swallow = swallow
        self._fail = fail

    def __enter__(self) -> str:
        self._said.append(f"enter {self._name}")
        return self._name

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: object) -> bool:
        name = kind.__name__ if kind is not None else None
        self._said.append(f"leave {self._name}: {name} {error} {traceback is not None}")
        if self._fail is not None:
            raise self._fail
        return self._swallow


def generated(module: Any, said: list[str], manner: str) -> Any:
    @module.contextmanager
    def block(name: str) -> Iterator[str]:
        """A block."""
        if manner == "yields nothing":
            return
        try:
            yield name
        except ValueError as error:
            said.append(f"saw {error!r}")
            if manner == "raises another":
                raise KeyError(name) from error
            if manner == "goes on":
                yield "again"
            if manner != "swallows":
                raise
        finally:
            if manner != "goes on":  # whether it is closed before the complaint depends on Python's version
                said.append("finally")
        if manner == "yields twice":
            yield "again"

    return block


def of_a_generator(manner: str, error: type[BaseException] | None) -> Callable[[Any, list[str]], None]:
    def scenario(module: Any, said: list[str]) -> None:
        block = generated(module, said, manner)
        said.append(f"{block.__name__} {block.__doc__} {block.__wrapped__.__name__}")
        with block("a") as name:
            said.append(name)
            if error is not None:
                raise error("inside")

    return scenario


def stacked(module: Any, said: list[str]) -> None:
    with module.ExitStack() as stack:
        said.append(stack.enter_context(Note(said, "outer")))
        stack.callback(said.append, "called")
        stack.enter_context(Note(said, "inner"))


def stacked_with_an_error(module: Any, said: list[str]) -> None:
    with module.ExitStack() as stack:
        stack.enter_context(Note(said, "outer"))
        stack.callback(said.append, "called")
        stack.enter_context(Note(said, "inner"))
        raise ValueError("block")


def stacked_and_swallowed(module: Any, said: list[str]) -> None:
    with module.ExitStack() as stack:
        stack.enter_context(Note(said, "outer"))
        stack.enter_context(Note(said, "middle", swallow=True))
        stack.enter_context(Note(said, "inner"))
        raise ValueError("block")
    said.append("after")


def stacked_and_replaced(module: Any, said: list[str]) -> None:
    with module.ExitStack() as stack:
        stack.enter_context(Note(said, "outer", fail=KeyError("third")))
        stack.callback(said.append, "called")
        stack.enter_context(Note(said, "middle", fail=TypeError("second")))
        stack.enter_context(Note(said, "inner"))
        raise ValueError("first")


def stacked_and_failed_at_the_end(module: Any, said: list[str]) -> None:
    with module.ExitStack() as stack:
        stack.enter_context(Note(said, "outer"))
        stack.enter_context(Note(said, "inner", fail=TypeError("at the end")))


def handed_over(module: Any, said: list[str]) -> None:
    with module.ExitStack() as stack:
        stack.callback(said.append, "called")
        kept = stack.pop_all()
    said.append("left")
    kept.close()
    kept.close()


def suppressed(module: Any, said: list[str]) -> None:
    with module.suppress(ValueError, KeyError):
        raise KeyError("inside")
    with module.suppress(LookupError):
        raise KeyError("inside")
    said.append("after")
    with module.suppress(ValueError):
        raise KeyError("inside")


def closed(module: Any, said: list[str]) -> None:
    stream = io.StringIO()
    with module.closing(stream) as inner, module.nullcontext("nothing") as name:
        said.append(f"{inner is stream} {name}")
    said.append(str(stream.closed))


def derived(module: Any, said: list[str]) -> None:
    class Block(module.AbstractContextManager["Block"]):  # type: ignore[misc] # of either module
        def __exit__(self, *details: object) -> None:
            said.append("left")

    with Block() as block:
        said.append(type(block).__name__)


_MANNERS = ["passes on", "swallows", "raises another", "goes on", "yields twice", "yields nothing"]
_SCENARIOS: dict[str, Callable[[Any, list[str]], None]] = {
    **{
        f"a generator that {manner}, {error and error.__name__}": of_a_generator(manner, error)
        for manner in _MANNERS
        for error in (None, ValueError, StopIteration, GeneratorExit)
    },
    **{
        scenario.__name__: scenario
        for scenario in (
            stacked,
            stacked_with_an_error,
            stacked_and_swallowed,
            stacked_and_replaced,
            stacked_and_failed_at_the_end,
            handed_over,
            suppressed,
            closed,
            derived,
        )
    },
}


def played(scenario: Callable[[Any, list[str]], None], module: Any) -> list[str]:
    """What was said, and the error with those that it came of."""
    said: list[str] = []
    try:
        scenario(module, said)
    except BaseException as error:
        chain: BaseException | None = error
        while chain is not None:
            said.append(repr(chain))
            chain = chain.__cause__ if chain.__suppress_context__ else chain.__context__
    return said


@pytest.mark.parametrize("name", _SCENARIOS)
def test_a_block_is_left_as_with_the_standard_module(name: str) -> None:
    scenario = _SCENARIOS[name]
    assert played(scenario, ours) == played(scenario, standard)


def test_an_error_that_comes_through_a_generator_has_no_frames_of_it() -> None:
    def frames(module: Any) -> list[str]:
        try:
            of_a_generator("passes on", ValueError)(module, [])
        except ValueError as error:
            place = error.__traceback__
        names = []
        while place is not None:
            names.append(place.tb_frame.f_code.co_name)
            place = place.tb_next
        return names

    assert frames(ours) == frames(standard) == ["frames", "scenario"]
