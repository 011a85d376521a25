"""The journal of events: written by many, bounded, read from any time on."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

from lamina.container import events
from lamina.container.record import Container
from lamina.dataroot import DataRoot


def container(name: str = "box") -> Container:
    return Container(
        {"ID": "a" * 64, "Name": f"/{name}", "Config": {"Image": "busybox", "Labels": {"color": "red"}}}, {}
    )


def actions(root: DataRoot, since: int = 0) -> list[str]:
    found = events.read(root, since=since, until=time.time_ns(), stopped=lambda: True)
    return [event["Action"] for event in found]


def test_an_event_is_dockers_document(tmp_path: Path) -> None:
    root = DataRoot.open(str(tmp_path / "root"))
    events.note(root, container(), "die", {"exitCode": "3"})
    (event,) = events.read(root, since=0, until=None, stopped=lambda: True)
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
    (first,) = events.read(root, since=0, until=None, stopped=lambda: True)
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
    for event in events.read(root, since=0, until=None, stopped=lambda: len(found) >= 5):
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
    assert len([json.loads(line) for line in lines]) == 200
