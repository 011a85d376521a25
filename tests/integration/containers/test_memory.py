"""How much memory the monitor of a container takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.command import Lamina
from support.processes import wait_until

pytestmark = [pytest.mark.root, pytest.mark.needs("crun", "nft")]

_LIMIT = 9728  # kB: a little below the 10 MB that it may take
_KINDS = {
    "none": ("--network", "none"),
    "bridge": ("--network", "bridge"),
    "checked": ("--network", "none", "--health-cmd", "true", "--health-interval", "1s"),
}


def resident(process: int) -> int:
    """In kB."""
    rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
    return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Rss:"))


def monitor_of(box: Lamina, name: str) -> int:
    state = json.loads(box("container", "inspect", name))[0]["State"]
    return int(Path(f"/proc/{state['Pid']}/stat").read_text().rsplit(")", 1)[1].split()[1])


def test_a_monitor_takes_at_most_10_megabytes(box: Lamina) -> None:
    for name, options in _KINDS.items():
        box("run", "-d", "--name", name, *options, "busybox", "sleep", "1000")
    monitors = {name: monitor_of(box, name) for name in _KINDS}
    for name, process in monitors.items():  # a health check maps what it needs for a moment
        wait_until(lambda process=process: resident(process) <= _LIMIT, seconds=10, what=f"a small monitor of {name}")


def test_a_monitor_that_waits_for_the_next_start_takes_no_more(box: Lamina) -> None:
    first = "[ -e /been-here ] && exit 1; touch /been-here; sleep 1"
    box("run", "-d", "--name", "again", "--restart", "always", "--network", "none", "busybox", "sh", "-c", first)
    monitor = monitor_of(box, "again")

    def state() -> tuple[str, int]:
        (document,) = json.loads(box("container", "inspect", "again"))
        return document["State"]["Status"], document["RestartCount"]

    wait_until(lambda: state()[1] >= 4, seconds=30, what="four starts")
    wait_until(lambda: resident(monitor) <= _LIMIT, seconds=10, what="a small monitor")
    assert state()[0] == "restarting"
