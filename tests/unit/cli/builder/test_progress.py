"""How a build is shown."""

from __future__ import annotations

import base64
import io
import json
import os
import pty
import struct
import termios
from collections.abc import Iterator
from fcntl import ioctl
from typing import TextIO

import pytest

from lamina.builder.job import CommandFailed
from lamina.builder.progress import Steps
from lamina.cli.builder.progress import reporter
from lamina.cli.builder.terminal import TerminalView
from lamina.cli.command import CommandError
from lamina.errors import Cancelled


def _build(steps: Steps) -> None:
    """A cached step, one that writes, one that fails."""
    with steps.step("[1/3] COPY a b") as progress:
        progress.cached = True
    with steps.step("[2/3] RUN make") as progress:
        progress.output(b"first\nsec")
        progress.output(b"ond\n")
    steps.warn("[Warning] something")
    with pytest.raises(CommandFailed), steps.step("[3/3] RUN false"):
        raise CommandFailed(["false"], 1, b"the reason\n", oom_killed=False)


def test_plain_lines_name_the_step_and_the_time() -> None:
    out = io.StringIO()
    report = reporter(out, "plain", quiet=False)
    _build(Steps(report))
    report.close()
    lines = out.getvalue().splitlines()
    assert lines[:4] == ["", "#1 [1/3] COPY a b", "#1 CACHED", ""]
    assert lines[4] == "#2 [2/3] RUN make"
    assert [line.split(" ", 2)[2] for line in lines[5:7]] == ["first", "second"]
    assert lines[7].startswith("#2 DONE 0.")
    assert "#3 ERROR: The command 'false' returned a non-zero code: 1" in lines
    assert lines[-4:] == ["------", " > [3/3] RUN false:", "the reason", "------"]


def test_a_step_that_was_given_up_is_no_failure() -> None:
    out = io.StringIO()
    report = reporter(out, "plain", quiet=False)
    with pytest.raises(Cancelled), Steps(report).step("[1/1] RUN sleep"):
        raise Cancelled("context canceled")
    report.close()
    assert out.getvalue() == "\n#1 [1/1] RUN sleep\n#1 CANCELED\n"


def test_quiet_shows_only_what_failed() -> None:
    out = io.StringIO()
    report = reporter(out, "auto", quiet=True)
    _build(Steps(report))
    report.close()
    assert out.getvalue() == "------\n > [3/3] RUN false:\nthe reason\n------\n"


def test_rawjson_is_buildkits_solve_status() -> None:
    out = io.StringIO()
    _build(Steps(reporter(out, "rawjson", quiet=False)))
    statuses = [json.loads(line) for line in out.getvalue().splitlines()]
    vertexes = [status["vertexes"][0] for status in statuses if "vertexes" in status]
    assert [vertex["name"] for vertex in vertexes] == [
        name for name in ("[1/3] COPY a b", "[2/3] RUN make", "[3/3] RUN false") for _ in range(2)
    ]
    assert vertexes[1]["cached"]
    assert vertexes[1]["started"] == vertexes[0]["started"] <= vertexes[1]["completed"]
    assert vertexes[5]["error"] == "The command 'false' returned a non-zero code: 1"
    logs = [log for status in statuses for log in status.get("logs", ())]
    assert b"".join(base64.b64decode(log["data"]) for log in logs) == b"first\nsecond\n"
    assert {log["vertex"] for log in logs} == {vertexes[2]["digest"]}
    warning = next(status["warnings"][0] for status in statuses if "warnings" in status)
    assert base64.b64decode(warning["short"]) == b"[Warning] something"


def test_a_mode_that_does_not_exist_is_refused() -> None:
    with pytest.raises(CommandError, match="invalid progress mode fancy"):
        reporter(io.StringIO(), "fancy", quiet=False)


class Screen:
    """What a terminal shows after the few sequences that the view writes."""

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.rows: list[str] = [""]
        self._row = 0

    def feed(self, text: str) -> None:
        text = text.replace("\x1b[?2026h", "").replace("\x1b[?2026l", "").replace("\r\n", "\n")
        while text:
            if text.startswith("\x1b["):
                end = next(number for number, char in enumerate(text) if char.isalpha())
                self._sequence(text[2:end], text[end])
                text = text[end + 1 :]
                continue
            if text[0] == "\n":
                self._row += 1
                if self._row == len(self.rows):
                    self.rows.append("")
                self._column = 0
            elif text[0] == "\r":
                self._column = 0
            else:
                row = self.rows[self._row].ljust(self._column)
                self.rows[self._row] = row[: self._column] + text[0] + row[self._column + 1 :]
                self._column += 1
                assert self._column < self.columns, "a line reached the last column"
            text = text[1:]

    _column = 0

    def _sequence(self, argument: str, letter: str) -> None:
        if letter == "A":
            self._row = max(self._row - int(argument), 0)
        elif letter == "K":
            self.rows[self._row] = self.rows[self._row][: self._column]
        elif letter == "J":
            self.rows[self._row] = self.rows[self._row][: self._column]
            del self.rows[self._row + 1 :]
        else:
            raise AssertionError(f"unknown sequence {argument}{letter}")


class Terminal:
    """A terminal of 60 columns and 12 rows."""

    def __init__(self) -> None:
        self._master, slave = pty.openpty()
        self.resize(60, 12)
        self.out: TextIO = open(slave, "w", encoding="utf-8")  # noqa: SIM115 - closed by close()

    def resize(self, columns: int, rows: int) -> None:
        ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self) -> str:
        os.set_blocking(self._master, False)
        text = b""
        while True:
            try:
                text += os.read(self._master, 1 << 16)
            except BlockingIOError:
                return text.decode()

    def close(self) -> None:
        self.out.close()
        os.close(self._master)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    made = Terminal()
    yield made
    made.close()


def test_on_a_terminal_finished_steps_stay_in_order_above_the_running_ones(terminal: Terminal) -> None:
    view = TerminalView(terminal.out, interval=3600)
    screen = Screen(60)
    steps = Steps(view)
    with steps.step("[1/3] COPY a b") as progress:
        progress.cached = True
    with steps.step("[2/3] RUN make") as one, steps.step("[other 1/1] RUN it") as two:
        one.output(b"first\n\x1b[31msecond\x1b[0m\n10%\r20%\r")
        two.output("\u4e2d".encode() * 100)
        with steps.step("[3/3] COPY x y"):
            pass
        screen.feed(terminal.read())
        shown = [row.rstrip() for row in screen.rows]
        assert shown[0].startswith(" => CACHED [1/3] COPY a b")
        assert shown[1].startswith(" => [3/3] COPY x y")
        assert shown[2].startswith("[+] Building")
        assert shown[3].startswith(" => [2/3] RUN make")
        assert shown[4:7] == [" => => # first", " => => # second", " => => # 20%"]
        assert shown[7].startswith(" => [other 1/1] RUN it")
    view.close()
    screen.feed(terminal.read())
    assert [row[4:16] for row in screen.rows if row] == [
        "CACHED [1/3]",
        "[3/3] COPY x",
        "[other 1/1] ",
        "[2/3] RUN ma",
    ]


def test_a_picture_is_lower_than_the_window(terminal: Terminal) -> None:
    terminal.resize(60, 6)
    view = TerminalView(terminal.out, interval=3600)
    steps = Steps(view)
    screen = Screen(60)
    with steps.step("one") as one, steps.step("two") as two, steps.step("three"), steps.step("four"):
        one.output(b"a\nb\nc\nd\ne\n")
        two.output(b"a\nb\nc\nd\ne\n")
        with steps.step("five"):
            screen.feed(terminal.read())
            assert len(screen.rows) <= 6
    view.close()


def test_a_narrower_window_leaves_nothing_of_the_old_picture(terminal: Terminal) -> None:
    view = TerminalView(terminal.out, interval=3600)
    steps = Steps(view)
    with steps.step("x" * 50):
        terminal.read()
        terminal.resize(30, 12)
        with steps.step("two"):
            assert "\x1b[3A" in terminal.read()  # two lines, of which one has become two
    view.close()
