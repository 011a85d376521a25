"""Columns, sizes and times as docker prints them."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.cli.command import CommandError
from lamina.cli.listing import Column, Listing
from lamina.cli.table import align, table
from lamina.cli.units import ago, binary_size, ellipsis, human_duration, human_size, local_rfc3339, local_time, short_id


def test_columns_are_at_least_ten_wide_and_three_apart() -> None:
    assert table(["TAG", "IMAGE ID", "SIZE"], [["1", "4268d27ea744", "1.98MB"]]) == (
        "TAG       IMAGE ID       SIZE\n1         4268d27ea744   1.98MB\n"
    )


def test_an_empty_last_cell_leaves_the_padding_before_it() -> None:
    assert table(["A", "B"], [["x", ""]]) == "A         B\nx         \n"


def test_a_line_without_tabs_begins_new_columns() -> None:
    assert align("wide wide wide\tx\nbreak\na\tx\n") == "wide wide wide   x\nbreak\na         x\n"


def test_characters_count_and_not_bytes() -> None:
    assert align("éééééééé\tx\n") == "éééééééé   x\n"


@pytest.mark.parametrize(
    ("size", "digits", "shown"),
    [
        (0, 3, "0B"),
        (999, 3, "999B"),
        (1000, 3, "1kB"),
        (1982256, 3, "1.98MB"),
        (1982256, 4, "1.982MB"),
        (7797760, 3, "7.8MB"),
        (999_600, 3, "1e+03kB"),
        (5_000_000_000, 4, "5GB"),
        (10**27, 4, "1000YB"),
    ],
)
def test_sizes_have_dockers_digits(size: int, digits: int, shown: str) -> None:
    assert human_size(size, digits) == shown


def test_memory_is_shown_in_binary_units() -> None:
    assert binary_size(25276063744) == "23.54GiB"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-5, "Less than a second"),
        (0.9, "Less than a second"),
        (1, "1 second"),
        (59.9, "59 seconds"),
        (60, "About a minute"),
        (119, "About a minute"),
        (120, "2 minutes"),
        (3599, "59 minutes"),
        (3600, "About an hour"),
        (5399, "About an hour"),
        (5400, "2 hours"),
        (47 * 3600, "47 hours"),
        (48 * 3600, "2 days"),
        (13 * 86400, "13 days"),
        (14 * 86400, "2 weeks"),
        (60 * 86400, "2 months"),
        (730 * 86400, "2 years"),
        (1e12, "292 years"),
    ],
)
def test_durations_have_dockers_words(seconds: float, shown: str) -> None:
    assert human_duration(seconds) == shown
    assert ago(1000, 1000 + seconds) == f"{shown} ago"


def test_times_are_local(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    for zone, printed, rfc3339 in (
        ("UTC", "2026-11-24 22:26:48 +0000 UTC", "2026-11-24T22:26:48Z"),
        ("CET-1", "2026-11-24 23:26:48 +0100 CET", "2026-11-24T23:26:48+01:00"),
    ):
        with monkeypatch.context() as patch:
            patch.setenv("TZ", zone)
            time.tzset()
            assert local_time(1795559208) == printed
            assert local_rfc3339(1795559208) == rfc3339
    time.tzset()


def test_ids_are_cut_to_twelve_digits() -> None:
    assert short_id("sha256:4268d27ea7443fbf") == "4268d27ea744"
    assert short_id("4268d27ea7443fbf") == "4268d27ea744"
    assert short_id("<missing>") == "<missing>"


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("ééé", 3, "ééé"),
        ("éééé", 3, "éé…"),
        ("日本語", 6, "日本語"),
        ("日本語", 5, "日本…"),
    ],
)
def test_long_text_ends_in_an_ellipsis(text: str, width: int, shown: str) -> None:
    assert ellipsis(text, width) == shown


LISTING: Listing[str] = Listing(
    "*formatter.thingContext",
    (Column("ID", "THING ID", str.upper), Column("Length", "LENGTH", lambda row: str(len(row)))),
    ("ID", "Length"),
)


def listed(template: str, *rows: str) -> str:
    out = io.StringIO()
    LISTING.write(out, rows, template)
    return out.getvalue()


def test_a_list_has_a_default_table() -> None:
    expected = "THING ID   LENGTH\nAB         2\n"
    assert listed("", "ab") == expected
    assert listed("table", "ab") == expected
    assert listed("table {{.ID}}\\t{{.Length}}", "ab") == expected


def test_a_list_can_be_formatted_line_by_line() -> None:
    assert listed("{{.ID}}\\t{{lower .ID}}", "a", "b") == "A\ta\nB\tb\n"
    assert listed("json", "a") == '{"ID":"A","Length":"1"}\n'
    assert listed("{{json .}}", "a") == '{"ID":"A","Length":"1"}\n'


def test_a_table_of_nothing_is_its_header() -> None:
    assert listed("table {{.ID}} {{.Nope}}") == "THING ID <no value>\n"
    assert listed("{{.ID}}") == ""


def test_a_wrong_column_is_refused_before_anything_is_printed() -> None:
    with pytest.raises(CommandError) as caught:
        listed("{{.ID}}{{.Nope}}", "a")
    assert caught.value.text == (
        'template parsing error: template: :1:9: executing "" at <.Nope>: '
        "can't evaluate field Nope in type *formatter.thingContext"
    )


def test_one_column_is_what_quiet_shows() -> None:
    out = io.StringIO()
    LISTING.write_column(out, ["a", "b"], "ID")
    assert out.getvalue() == "A\nB\n"


_CELLS = st.text("a\t\né%", max_size=14)


@given(st.integers(1, 4).flatmap(lambda width: st.lists(st.lists(_CELLS, min_size=width, max_size=width))))
def test_a_regular_table_is_aligned_as_any_text(rows: list[list[str]]) -> None:
    headers = ["H"] * (len(rows[0]) if rows else 3)
    assert table(headers, rows) == align("\n".join("\t".join(cells) for cells in (headers, *rows)) + "\n")
