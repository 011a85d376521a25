"""Rotated logs, and the options that say when."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from lamina.container import jsonlog, logdrivers, logs
from lamina.container.jsonlog import Rotation, Writer
from lamina.container.logdrivers import InvalidLogOption, NoSuchDriver, NotReadable
from lamina.container.logs import LogRequest
from lamina.container.record import Container


def fill(path: Path, lines: int, rotation: Rotation) -> None:
    writer = Writer(str(path), rotation)
    for number in range(lines):
        writer.write([f"{number}\n".encode()], "stdout", number + 1)
    writer.close()


def numbers(path: Path, request: LogRequest | None = None) -> list[int]:
    return [int(entry.log) for entry in logs.read(str(path), request or LogRequest(), lambda: False)]


@pytest.mark.parametrize("compress", [False, True])
def test_the_oldest_file_goes_and_the_rest_is_read_in_order(tmp_path: Path, compress: bool) -> None:
    path = tmp_path / "log"
    fill(path, 30, Rotation(limit=400, files=3, compress=compress))
    ending = ".gz" if compress else ""
    assert sorted(file.name for file in tmp_path.iterdir()) == ["log", f"log.1{ending}", f"log.2{ending}"]
    found = numbers(path)
    assert found == list(range(found[0], 30))
    assert 0 < found[0] < 20
    for count in (0, 1, 5, len(found), 99):
        assert numbers(path, LogRequest(tail=count)) == found[len(found) - min(count, len(found)) :]
    if compress:
        content = gzip.decompress((tmp_path / "log.1.gz").read_bytes())
        assert json.loads(content.splitlines()[0])["stream"] == "stdout"


def test_a_single_file_begins_anew(tmp_path: Path) -> None:
    fill(tmp_path / "log", 30, Rotation(limit=400))
    assert [file.name for file in tmp_path.iterdir()] == ["log"]
    assert numbers(tmp_path / "log")[-1] == 29
    assert (tmp_path / "log").stat().st_size < 500


def test_following_goes_on_in_the_next_file(tmp_path: Path) -> None:
    path = tmp_path / "log"
    writer = Writer(str(path), Rotation(limit=1, files=9))
    writer.write([b"0\n"], "stdout", 1)
    found: list[int] = []
    for entry in logs.read(str(path), LogRequest(follow=True), lambda: len(found) < 9):
        found.append(int(entry.log))
        for number in range(found[-1] + 1, found[-1] + 4) if found[-1] % 3 == 0 and found[-1] < 6 else ():
            writer.write([f"{number}\n".encode()], "stdout", 1)
        if found[-1] == 6:
            break
    writer.close()
    assert found == [0, 1, 2, 3, 4, 5, 6]


def test_labels_and_variables_are_details(tmp_path: Path) -> None:
    options = {"labels": "color,none", "env": "SIZE"}
    config = {"Labels": {"color": "red, <a>", "other": "x"}, "Env": ["SIZE=big", "A=b"]}
    container = Container({"Config": config}, {"LogConfig": {"Type": "json-file", "Config": options}})
    log = logdrivers.open_log(container, str(tmp_path / "log"))
    log.write([b"x\n"], "stderr", 5)
    log.close()
    entry = jsonlog.parse((tmp_path / "log").read_bytes())
    assert entry is not None
    assert entry.details == "SIZE=big,color=red%2C+%3Ca%3E"


def test_none_keeps_nothing(tmp_path: Path) -> None:
    container = Container({"Config": {}}, {"LogConfig": {"Type": "none", "Config": {}}})
    log = logdrivers.open_log(container, str(tmp_path / "log"))
    log.write([b"x\n"], "stdout", 5)
    log.close()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(NotReadable, match="configured logging driver does not support reading"):
        logdrivers.place_of(container, "/log")


def test_unknown_drivers_and_options_are_refused() -> None:
    with pytest.raises(NoSuchDriver, match='error looking up logging plugin foo: plugin "foo" not found'):
        logdrivers.check({"Type": "foo"})
    with pytest.raises(InvalidLogOption, match="unknown log opt 'foo' for json-file log driver"):
        logdrivers.check({"Type": "", "Config": {"foo": "bar"}})


@pytest.mark.parametrize(
    "options",
    [{"max-size": "x"}, {"max-size": "-1"}, {"max-file": "0"}, {"max-file": "x"}, {"compress": "true"}],
)
def test_values_that_can_not_be_are_refused_at_the_start(options: dict[str, str]) -> None:
    logdrivers.check({"Config": options})
    container = Container({"Config": {}}, {"LogConfig": {"Type": "json-file", "Config": options}})
    with pytest.raises(InvalidLogOption, match="failed to initialize logging driver: "):
        logdrivers.check_values(container, "/log")
