"""History texts are what Go's ``fmt`` makes of the values."""

from __future__ import annotations

import pytest

from lamina.builder import gotext, texts
from lamina.builder.arguments import BuildArguments, StageArguments


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1_500, "1.5\u00b5s"),
        (500_000_000, "500ms"),
        (90 * 10**9, "1m30s"),
        (3600 * 10**9, "1h0m0s"),
        (3_661_500_000_000, "1h1m1.5s"),
        (-5 * 10**9, "-5s"),
    ],
)
def test_durations_are_gos(nanoseconds: int, text: str) -> None:
    assert gotext.duration(nanoseconds) == text


def test_lists_are_quoted_word_by_word() -> None:
    assert gotext.quoted_list(["a", 'b "c"', "\t"]) == '["a" "b \\"c\\"" "\\t"]'
    assert gotext.quoted_list(None) == "[]"


@pytest.mark.parametrize(("number", "text"), [(0, "'\\x00'"), (3, "'\\x03'"), (39, "'\\''"), (34, "'\"'"), (65, "'A'")])
def test_numbers_are_quoted_as_characters(number: int, text: str) -> None:
    assert gotext.quoted_number(number) == text


def test_a_health_check_is_a_structure() -> None:
    check = {"Test": ["CMD-SHELL", "true"], "Interval": 5 * 10**9, "Retries": 3}
    assert texts.healthcheck(check) == '&{["CMD-SHELL" "true"] "5s" "0s" "0s" \'\\x03\'}'


def test_arguments_of_run_are_counted() -> None:
    assert texts.run_command(["/bin/sh", "-c", "x"], ["a=1"]) == ["|1", "a=1", "/bin/sh", "-c", "x"]
    assert texts.run_command(["x"], []) == ["x"]


def test_a_given_argument_wins_over_the_default_and_only_where_it_is_declared() -> None:
    shared = BuildArguments({"a": "given", "b": "unused"}, {})
    stage = StageArguments(shared)
    assert stage.values() == {}
    stage.declare("a", "default")
    assert stage.values() == {"a": "given"}
    assert shared.unused() == ["b"]


def test_a_declared_name_takes_the_global_value() -> None:
    shared = BuildArguments({}, {"TARGETARCH": "amd64"})
    shared.declare_global("version", "1")
    stage = StageArguments(shared)
    stage.declare("version", None)
    stage.declare("TARGETARCH", None)
    assert stage.values() == {"version": "1", "TARGETARCH": "amd64"}


def test_proxies_are_seen_by_run_and_leave_no_trace() -> None:
    stage = StageArguments(BuildArguments({"HTTP_PROXY": "p"}, {}))
    assert stage.environment({}) == {"HTTP_PROXY": "p"}
    assert stage.visible({}) == []
    stage.declare("HTTP_PROXY", None)
    assert stage.visible({}) == ["HTTP_PROXY=p"]


def test_the_environment_wins_over_an_argument() -> None:
    stage = StageArguments(BuildArguments({"a": "argument"}, {}))
    stage.declare("a", None)
    assert stage.environment({"a": "environment"}) == {}
