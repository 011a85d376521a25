"""The journal of events: written by many, bounded, read from any time on."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest

from lamina import events
from lamina.container.record import Container
from lamina.dataroot import DataRoot
from lamina.engine.events import read


def container(name: str = "box") -> Container:
    return Container(
        {"ID": "a" * 64, "Name": f"/{name}", "Config": {"Image": "busybox", "Labels": {"color": "red"}}}, {}
    )


def actions(root: DataRoot, since: int = 0) -> list[str]:
    found = read(root, since=since, until=time.time_ns(), stopped=lambda: True)
    return [event["Action"] for event in found]


def test_an_event_is_dockers_document(tmp_path: Path) -> None:
    root = DataRoot.open(str(tmp_path / "root"))
    events.note(root, container(), "die", {"exitCode": "3"})
    (event,) = read(root, since=0, until=None, stopped=lambda: True)
    moment = event.pop("timeNano")
    assert event.pop("time") == moment // 10**9
    assert event == {
        "status": "die",
        "id": "a" * 64,
        "from": "busybox",
        "Type": "container",
        "Action": "die",
        "Actor": {
            "ID": "a" * 64,
            "Attributes": {"color": "red", "exitCode": "3", "image": "busybox", "name": "box"},
        },
        "scope": "local",
    }


def test_events_are_chosen_by_time(tmp_path: Path) -> None:
    root = DataRoot.open(str(tmp_path / "root"))
    assert actions(root) == []
    events.note(root, container(), "one")
    (first,) = read(root, since=0, until=None, stopped=lambda: True)
    while time.time_ns() <= first["timeNano"]:
        pass
    events.note(root, container(), "two")
    assert actions(root) == ["one", "two"]
    assert actions(root, first["timeNano"] + 1) == ["two"]


def test_the_journal_is_bounded_and_loses_only_the_oldest(tmp_path: Path) -> None:
    root = DataRoot.open(str(tmp_path / "root"))
    for number in range(30):
        events.note(root, container(), str(number), {"filler": "x" * 100_000})
    found = actions(root)
    assert found == [str(number) for number in range(int(found[0]), 30)]
    assert 10 <= len(found) < 30
    size = sum(file.stat().st_size for file in (tmp_path / "root" / "lamina").glob("events*"))
    assert size < 3 << 20


def test_following_goes_on_in_the_next_file(tmp_path: Path) -> None:
    root = DataRoot.open(str(tmp_path / "root"))
    events.note(root, container(), "0", {"filler": "x" * 700_000})
    found = []
    for event in read(root, since=0, until=None, stopped=lambda: len(found) >= 5):
        found.append(event["Action"])
        if len(found) < 5:
            events.note(root, container(), str(len(found)), {"filler": "x" * 700_000})
    assert found == ["0", "1", "2", "3", "4"]


def test_lines_of_several_writers_do_not_mix(tmp_path: Path) -> None:
    root = DataRoot.open(str(tmp_path / "root"))

    def write() -> None:
        for _ in range(50):
            events.note(root, container(), "event")

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = (tmp_path / "root" / "lamina" / "events").read_text().splitlines()
    # A writer that sees another in the middle of a line takes it for one that was cut short: that leaves an empty one.
    assert len([json.loads(line) for line in lines if line]) == 200
    assert actions(root) == ["event"] * 200


def test_a_line_that_was_cut_short_costs_no_other(tmp_path: Path) -> None:
    root = DataRoot.open(str(tmp_path / "root"))
    events.note(root, container(), "one")
    with open(root.sub(events.CURRENT), "ab") as journal:
        journal.write(b'{"status":"lost","id":"aaa')
    events.note(root, container(), "two")
    assert actions(root) == ["one", "two"]


def test_a_journal_that_can_not_be_written_stops_nobody(tmp_path: Path) -> None:
    root = DataRoot.open(str(tmp_path / "root"))
    (tmp_path / "root" / "lamina").mkdir()
    (tmp_path / "root" / "lamina" / "events").mkdir()
    events.note(root, container(), "one")
    (tmp_path / "root" / "lamina" / "events").rmdir()
    (tmp_path / "root" / "lamina" / "locks").write_text("no directory: the journal can't become the older one")
    events.note(root, container(), "two", {"filler": "x" * (2 << 20)})
    assert actions(root) == ["two"]


def test_without_a_beginning_an_end_shows_all_that_is_known(tmp_path: Path) -> None:
    root = DataRoot.open(str(tmp_path / "root"))
    events.note(root, container(), "one")
    assert [event["Action"] for event in read(root, until=time.time_ns())] == ["one"]
    assert list(read(root, stopped=lambda: True)) == []


EVENTS = {
    "create": events.Actor("container", "c1" * 32, {"name": "web", "image": "nginx:1", "color": "red"}),
    "exec_create: sh ": events.Actor("container", "c1" * 32, {"name": "web", "image": "nginx:1", "color": "red"}),
    "connect": events.Actor("network", "d1" * 32, {"name": "webs", "type": "bridge", "container": "c1" * 32}),
    "mount": events.Actor("volume", "data", {"driver": "local"}),
    "pull": events.Actor("image", "nginx:1", {"name": "nginx", "color": "blue"}),
    "prune": events.Actor("builder", "", {"reclaimed": "0"}),
}


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, list(EVENTS)),
        ({"type": ["volume", "network"]}, ["connect", "mount"]),
        ({"type": ["vol"]}, []),
        ({"scope": ["local"]}, list(EVENTS)),
        ({"scope": ["swarm"]}, []),
        ({"event": ["create", "pull"]}, ["create", "pull"]),
        ({"event": ["exec"]}, []),
        ({"event": ["exec_create"]}, ["exec_create: sh "]),
        ({"event": ["exec_create", "cr"]}, ["create", "exec_create: sh "]),
        ({"container": ["we"]}, ["create", "exec_create: sh ", "connect"]),
        ({"container": ["c1c1"], "event": ["create"]}, ["create"]),
        ({"container": ["/web"]}, []),
        ({"volume": ["dat"]}, ["mount"]),
        ({"network": ["d1d1", "nosuch"]}, ["connect"]),
        ({"daemon": ["host"]}, []),
        ({"image": ["nginx"]}, ["create", "exec_create: sh ", "pull"]),
        ({"image": ["nginx:1"]}, ["create", "exec_create: sh ", "pull"]),
        ({"image": ["ngin"]}, []),
        ({"label": ["color"]}, ["create", "exec_create: sh ", "pull"]),
        ({"label": ["color=blue"]}, ["pull"]),
        ({"label": ["color=blue", "name=web"]}, []),
        ({"nosuch": ["x"]}, list(EVENTS)),
    ],
)
def test_filters_choose_what_dockerd_chooses(
    filters: dict[str, list[str]], expected: list[str], tmp_path: Path
) -> None:
    root = DataRoot.open(str(tmp_path / "root"))
    for action, actor in EVENTS.items():
        events.tell(root, actor, action)
    assert [event["Action"] for event in read(root, until=time.time_ns(), filters=filters)] == expected


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (b'"Actor"', b'"Actos"'),
        (b'"ID":"', b'"ID":7,"I":"'),
        (b'"timeNano":', b'"timeNano":"x","t":'),
        (b'"Attributes":{', b'"Attributes":7,"A":{'),
        (b'"image":"busybox"', b'"image":null'),
    ],
)
def test_a_damaged_line_is_no_event(right: bytes, wrong: bytes, tmp_path: Path) -> None:
    root = DataRoot.open(str(tmp_path / "root"))
    events.note(root, container(), "damaged")
    journal = tmp_path / "root" / events.CURRENT
    content = journal.read_bytes()
    assert right in content
    journal.write_bytes(content.replace(right, wrong))
    events.note(root, container(), "whole")
    found = read(root, since=0, until=time.time_ns(), filters={"container": ["box"]}, stopped=lambda: True)
    assert [event["Action"] for event in found] == ["whole"]


def test_a_line_that_was_cut_short_spoils_none_in_the_next_file(tmp_path: Path) -> None:
    root = DataRoot.open(str(tmp_path / "root"))
    events.note(root, container(), "one")
    following = read(root, since=0)
    assert next(following)["Action"] == "one"
    journal = tmp_path / "root" / events.CURRENT
    with journal.open("ab") as file:
        file.write(b'{"status":"to')  # the disk was full
    journal.rename(tmp_path / "root" / events.OLDER)
    events.note(root, container(), "two")
    events.note(root, container(), "three")
    assert next(following)["Action"] == "two"
