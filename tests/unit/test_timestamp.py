"""Times of documents, and moments as users write them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.oci import timestamp
from lamina.oci.timestamp import InvalidMoment, InvalidTime


@pytest.fixture
def in_india(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A host whose time is five and a half hours ahead."""
    monkeypatch.setenv("TZ", "XXX-5:30")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "marshalled"),
    [
        ("2026-11-24T22:26:48.67902676Z", "2026-11-24T22:26:48.67902676Z"),
        ("2026-11-24T22:26:48.120000000Z", "2026-11-24T22:26:48.12Z"),
        ("2026-11-24T22:26:48.000Z", "2026-11-24T22:26:48Z"),
        ("2026-11-24T22:26:48.1234567891Z", "2026-11-24T22:26:48.123456789Z"),
        ("2026-11-24T22:26:48+00:00", "2026-11-24T22:26:48Z"),
        ("2026-11-24T22:26:48+02:00", "2026-11-24T22:26:48+02:00"),
        ("2026-11-24T22:25:25.10-02:00", "2026-11-24T22:25:25.1-02:00"),
        ("2026-11-24t22:26:48z", "2026-11-24T22:26:48Z"),
        ("", "0001-01-01T00:00:00Z"),
        ("yesterday", "0001-01-01T00:00:00Z"),
    ],
)
def test_a_time_is_written_as_go_writes_it(text: str, marshalled: str) -> None:
    assert timestamp.marshalled(text) == marshalled


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
    assert timestamp.seconds(text) == expected.days * 86400 + expected.seconds


def test_a_missing_time_is_gos_zero() -> None:
    assert timestamp.seconds("") == -62135596800
    assert timestamp.or_zero(timestamp.ZERO) == timestamp.ZERO_NANOSECONDS


@given(st.integers(0, 4_000_000_000_000_000_000))
def test_times_survive_being_written_and_read(nanoseconds: int) -> None:
    assert timestamp.nanoseconds(timestamp.text(nanoseconds)) == nanoseconds
    assert timestamp.nanoseconds(timestamp.fixed_text(nanoseconds)) == nanoseconds


@given(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)), st.integers(-1439, 1439))
def test_any_time_is_read_as_python_reads_it(naive: datetime, offset: int) -> None:
    moment = naive.replace(tzinfo=timezone(timedelta(minutes=offset)))
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    expected = (delta.days * 86400 + delta.seconds) * 10**9 + delta.microseconds * 1000
    assert timestamp.nanoseconds(moment.isoformat()) == expected


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-24",
        "2026-11-24T22:26Z",
        "2026-11-24T22:26:48",
        "2026-11-24 22:26:48Z",
        "2026-13-24T22:26:48Z",
        "2026-02-29T22:26:48Z",
        "1900-02-29T22:26:48Z",
        "2026-11-24T24:26:48Z",
        "2026-11-24T22:26:48.Z",
        "2026-11-24T22:26:48.1_0Z",
        "+026-11-24T22:26:48Z",
        "2026-11-24T22:26:48+0200",
        "2026-11-24T22:26:48.5+2:00",
        "２026-11-24T22:26:48Z",
        "2026-11-24T22:26:48Z\n",
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    assert timestamp.or_zero(text) == timestamp.ZERO_NANOSECONDS
    with pytest.raises(InvalidTime, match="not RFC 3339"):
        timestamp.nanoseconds(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1600000000", 1_600_000_000_000_000_000),
        ("1600000000.5", 1_600_000_000_500_000_000),
        ("0", 0),
        ("1970-01-02", 86400 * 10**9),
        ("1970-01-01T01", 3600 * 10**9),
        ("1970-01-01T00:01", 60 * 10**9),
        ("1970-01-01T00:00:01", 10**9),
        ("1970-01-01T00:00:01.25", 1_250_000_000),
        ("1970-01-01T01:00:00+01:00", 0),
    ],
)
def test_moments_are_read_in_all_of_dockers_forms(text: str, expected: int) -> None:
    assert timestamp.moment(text) == expected


@pytest.mark.usefixtures("in_india")
def test_a_moment_without_an_offset_is_the_hosts() -> None:
    assert timestamp.moment("1970-01-01T05:30") == 0
    assert timestamp.moment("1970-01-01T05:30:00Z") == 19800 * 10**9


@pytest.mark.parametrize(
    ("text", "seconds"), [("1m30s", 90), ("1.5h", 5400), ("-2s", -2), ("250ms", 0.25), ("1h2m3s", 3723), ("0s", 0)]
)
def test_durations_count_back_from_now(text: str, seconds: float) -> None:
    assert abs(timestamp.moment(text) - (time.time_ns() - round(seconds * 10**9))) < 10**9


@pytest.mark.parametrize(
    "text", ["", "yesterday", "1x", "h", "1m ", "2020-13-45", "1600000000.", "--5s", "-", "1.2.3s"]
)
def test_what_is_no_moment_is_refused_in_dockers_words(text: str) -> None:
    with pytest.raises(InvalidMoment) as failure:
        timestamp.moment(text)
    assert str(failure.value) == f'failed to parse value as time or duration: "{text}"'
