"""The json-file log: what is written is what Docker's tools read, and what comes back is what the container wrote."""

from __future__ import annotations

import json
import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from lamina.container import jsonlog, logs
from lamina.container.jsonlog import PIECE, Splitter, Writer
from lamina.container.logs import LogRequest


def log_lines(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def write(path: Path, *chunks: bytes, time: int = 1_600_000_000_123_456_789) -> None:
    writer, splitter = Writer(str(path)), Splitter()
    for chunk in chunks:
        writer.write(splitter.feed(chunk), "stdout", time)
    writer.write(splitter.rest(), "stdout", time)
    writer.close()


def test_each_line_is_one_object_in_dockers_shape(tmp_path: Path) -> None:
    write(tmp_path / "log", b'one\ntwo "quoted"\\\n', b"thr", b"ee\nrest")
    assert (tmp_path / "log").read_bytes().splitlines()[0] == (
        b'{"log":"one\\n","stream":"stdout","time":"2020-09-13T12:26:40.123456789Z"}'
    )
    assert [line["log"] for line in log_lines(tmp_path / "log")] == ["one\n", 'two "quoted"\\\n', "three\n", "rest"]


def test_a_long_line_becomes_pieces_of_16_kib_of_which_only_the_last_ends_the_line(tmp_path: Path) -> None:
    write(tmp_path / "log", b"x" * (PIECE * 2 + 10) + b"\n")
    assert [len(line["log"]) for line in log_lines(tmp_path / "log")] == [PIECE, PIECE, 11]


def test_a_long_line_is_not_cut_inside_a_character(tmp_path: Path) -> None:
    text = "a" + "€" * PIECE
    write(tmp_path / "log", text.encode() + b"\n")
    assert "".join(line["log"] for line in log_lines(tmp_path / "log")) == text + "\n"


def test_bytes_that_are_no_text_are_replaced(tmp_path: Path) -> None:
    write(tmp_path / "log", b"a\xff\x00b\n")
    assert log_lines(tmp_path / "log")[0]["log"] == "a\ufffd\x00b\n"


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_pieces_put_together_are_the_stream(chunks: list[bytes]) -> None:
    splitter = Splitter()
    pieces = [piece for chunk in chunks for piece in splitter.feed(chunk)] + splitter.rest()
    assert b"".join(pieces) == b"".join(chunks)
    assert all(b"\n" not in piece[:-1] for piece in pieces)


@given(st.lists(st.text(alphabet="ab€", max_size=30), max_size=40), st.integers(0, 50))
def test_tail_shows_the_last_entries(texts: list[str], count: int) -> None:
    descriptor = os.memfd_create("log")
    try:
        for text in texts:
            os.write(descriptor, json.dumps({"log": text}).encode() + b"\n")
        found = [line for line, _ in jsonlog.lines(descriptor, jsonlog.tail_offset(descriptor, count))]
    finally:
        os.close(descriptor)
    assert [json.loads(line)["log"] for line in found] == (texts[-count:] if count else [])


def test_tail_reads_a_file_larger_than_a_block(tmp_path: Path) -> None:
    write(tmp_path / "log", *(b"%d %s\n" % (number, b"x" * 3000) for number in range(100)))
    entries = list(logs.read(str(tmp_path / "log"), LogRequest(tail=40), lambda: False))
    assert [entry.log.split()[0] for entry in entries] == [str(number) for number in range(60, 100)]


def test_since_and_until_leave_out_what_is_older_or_newer(tmp_path: Path) -> None:
    for second in range(5):
        write(tmp_path / "log", b"%d\n" % second, time=second * 10**9)
    request = LogRequest(since=10**9, until=3 * 10**9)
    assert [entry.log for entry in logs.read(str(tmp_path / "log"), request, lambda: False)] == ["1\n", "2\n", "3\n"]


def test_a_damaged_line_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path / "log", b"one\n")
    with (tmp_path / "log").open("ab") as file:
        file.write(b"{broken\n")
    write(tmp_path / "log", b"two\n")
    assert [entry.log for entry in logs.read(str(tmp_path / "log"), LogRequest(), lambda: False)] == ["one\n", "two\n"]


def test_a_container_without_a_log_has_no_entries(tmp_path: Path) -> None:
    assert list(logs.read(str(tmp_path / "none"), LogRequest(), lambda: False)) == []


def test_follow_ends_when_the_container_has_stopped_and_shows_what_came_last(tmp_path: Path) -> None:
    path = tmp_path / "log"
    write(path, b"first\n")
    answers = iter([True, True, False])

    def running() -> bool:
        write(path, b"later\n")
        return next(answers)

    entries = [entry.log for entry in logs.read(str(path), LogRequest(follow=True), running)]
    assert entries == ["first\n", "later\n", "later\n", "later\n"]
