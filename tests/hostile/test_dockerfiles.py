"""Dockerfiles and ``.dockerignore`` files made to use up memory or time."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lamina.dockerfile.expansion import expand
from lamina.dockerfile.failure import DockerfileError, InvalidInstruction
from lamina.dockerfile.ignore import PatternMatcher
from lamina.dockerfile.instructions import Run
from lamina.dockerfile.parser import parse


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    """Processor time, so that a busy machine does not count."""
    start = time.process_time()
    yield
    assert time.process_time() - start < seconds


def test_a_line_of_100_mb_is_refused_before_it_is_read() -> None:
    data = b"FROM a\nRUN " + b"x" * (100 << 20) + b"\n"
    tracemalloc.start()
    try:
        with _within(1), pytest.raises(DockerfileError, match="line greater than max allowed size of 65535") as caught:
            parse(data)
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()
    assert len(str(caught.value)) < 1000


def test_a_heredoc_without_end_is_an_error_at_its_beginning() -> None:
    data = b"FROM a\nRUN <<EOF\n" + b"x\n" * 500_000
    with _within(20), pytest.raises(DockerfileError, match="unterminated heredoc") as caught:
        parse(data)
    assert caught.value.line == 2


def test_a_hundred_thousand_continued_lines_are_one_instruction() -> None:
    with _within(20):
        found = parse(b"FROM a\nRUN x \\\n" + b" y \\\n" * 100_000 + b" z\n")
    (run,) = found.stages[0].instructions
    assert isinstance(run, Run)


def test_arguments_that_double_each_other_stop_at_a_limit() -> None:
    value = "x"
    while len(value) < 1 << 20:
        value = expand("$a$a", {"a": value})
    with _within(20), pytest.raises(InvalidInstruction, match="longer than 1 MiB"):
        expand("$a$a", {"a": value})


def test_a_replacement_that_explodes_stops_at_a_limit() -> None:
    text = "x" * 60_000
    with _within(20), pytest.raises(InvalidInstruction, match="longer than 1 MiB"):
        expand("${a//?/$a}", {"a": text})


@pytest.mark.parametrize("word", ["${a:-" * 10_000, "${a:-" * 10_000 + "}" * 10_000, '"${a:-' * 5000])
def test_substitutions_nested_without_end_are_refused(word: str) -> None:
    with _within(20), pytest.raises(InvalidInstruction):
        expand(word, {})


@pytest.mark.parametrize("pattern", ["*a" * 30 + "b", "?*" * 30 + "b", "*" * 50 + "b"])
def test_a_shell_pattern_takes_linear_time(pattern: str) -> None:
    with _within(20):
        expand(f"${{a##{pattern}}}${{a%%{pattern}}}${{a//{pattern}/}}", {"a": "a" * 50_000})


@pytest.mark.parametrize("pattern", ["**/" * 50 + "b", "*a" * 60 + "b", "**/*a*a*a*a*a*a*a*a*a*b", "a**/" * 20 + "*b"])
def test_an_ignore_pattern_takes_linear_time(pattern: str) -> None:
    path = "/".join(["a" * 250] * 16)
    with _within(20):
        assert not PatternMatcher([pattern]).matches(path)


def test_deeply_nested_json_is_no_exec_form() -> None:
    (run,) = parse(b"FROM a\nRUN " + b"[" * 60_000 + b"\n").stages[0].instructions
    assert isinstance(run, Run)
    assert run.command.shell
