"""Times of configurations."""

from datetime import datetime

import pytest

from lamina.view import moment


@pytest.mark.parametrize(
    ("text", "marshalled"),
    [
        ("2026-11-24T22:26:48.67902676Z", "2026-11-24T22:26:48.67902676Z"),
        ("2026-11-24T22:26:48.120000000Z", "2026-11-24T22:26:48.12Z"),
        ("2026-11-24T22:26:48.000Z", "2026-11-24T22:26:48Z"),
        ("2026-11-24T22:26:48+00:00", "2026-11-24T22:26:48Z"),
        ("2026-11-24T22:26:48+02:00", "2026-11-24T22:26:48+02:00"),
        ("", "0001-01-01T00:00:00Z"),
        ("yesterday", "0001-01-01T00:00:00Z"),
    ],
)
def test_a_time_is_written_as_go_writes_it(text: str, marshalled: str) -> None:
    assert moment.marshalled(text) == marshalled


@pytest.mark.parametrize(
    "text",
    [
        "1970-01-01T00:00:00Z",
        "2026-11-24T22:26:48Z",
        "2024-02-29T23:59:59+05:30",
        "1969-12-31T23:59:59-08:00",
        "0001-01-01T00:00:00Z",
        "9999-12-31T00:00:00Z",
    ],
)
def test_seconds_are_those_of_the_calendar(text: str) -> None:
    expected = datetime.fromisoformat(text) - datetime.fromisoformat("1970-01-01T00:00:00Z")
    assert moment.seconds(text) == expected.days * 86400 + expected.seconds


def test_a_missing_time_is_gos_zero() -> None:
    assert moment.seconds("") == -62135596800


def test_nanoseconds_are_kept() -> None:
    assert moment.nanoseconds("1970-01-01T00:00:01.000000001Z") == 1_000_000_001
