"""Progress of pull and push: lines in files, bars on terminals."""

import io

import pytest

from lamina.cli.progress import reporter
from lamina.progress import Event

EVENTS = (
    Event("Pulling from x/bb", "1"),
    Event("Pulling fs layer", "d0ffa3937f3a"),
    Event("Pulling fs layer", "915ab0e80472"),
    Event("Downloading", "d0ffa3937f3a", 36450, 1064000),
    Event("Download complete", "d0ffa3937f3a"),
    Event("Pull complete", "d0ffa3937f3a"),
    Event("Digest: sha256:9258"),
    Event("", aux={"Tag": "1"}),
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        raise OSError("no file")


def test_a_file_gets_one_line_for_each_change_of_state() -> None:
    out = io.StringIO()
    report = reporter(out)
    for event in EVENTS:
        report(event)
    assert out.getvalue().splitlines() == [
        "1: Pulling from x/bb",
        "d0ffa3937f3a: Pulling fs layer",
        "915ab0e80472: Pulling fs layer",
        "d0ffa3937f3a: Download complete",
        "d0ffa3937f3a: Pull complete",
        "Digest: sha256:9258",
    ]


def test_a_terminal_keeps_one_line_for_each_layer() -> None:
    out = Terminal()
    report = reporter(out)
    for event in EVENTS:
        report(event)
    text = out.getvalue()
    assert text.startswith("1: Pulling from x/bb\n\n\x1b[1A\x1b[2K\rd0ffa3937f3a: Pulling fs layer \r\x1b[1B\n")
    assert "\x1b[2A\x1b[2K\rd0ffa3937f3a: Downloading  36.45kB/1.064MB\r\x1b[2B" in text
    assert text.endswith("\x1b[2BDigest: sha256:9258\n")


@pytest.mark.parametrize(("done", "bar"), [(1, ">"), (25, "=" * 12 + ">"), (100, "=" * 50 + ">")])
def test_a_wide_terminal_shows_docker_s_bar(done: int, bar: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lamina.cli.progress._size", lambda out: (130, 24))
    out = Terminal()
    reporter(out)(Event("Downloading", "d0ffa3937f3a", done, 100))
    assert f" [{bar:51}] " in out.getvalue()


def test_bytes_are_drawn_a_few_times_a_second() -> None:
    out = Terminal()
    report = reporter(out)
    for done in range(10_000):
        report(Event("Downloading", "d0ffa3937f3a", done, 10_000))
    assert out.getvalue().count("Downloading") < 100


def test_a_layer_that_scrolled_away_is_not_drawn_over_another() -> None:
    out = Terminal()
    report = reporter(out)
    for number in range(40):
        report(Event("Waiting", f"{number:012}"))
    before = len(out.getvalue())
    report(Event("Pull complete", f"{0:012}"))
    assert len(out.getvalue()) == before


def test_quiet_is_silent() -> None:
    out = Terminal()
    report = reporter(out, quiet=True)
    for event in EVENTS:
        report(event)
    assert out.getvalue() == ""
