"""restart, restart policies, pause, rename, top."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import Any

import pytest

from support.command import Lamina
from support.processes import wait_until

pytestmark = [pytest.mark.root, pytest.mark.needs("crun")]

FAIL = ("sh", "-c", "echo run; exit 3")


def state(box: Lamina, name: str) -> dict[str, Any]:
    document = json.loads(box("container", "inspect", name))[0]
    return {**document["State"], "RestartCount": document["RestartCount"]}


def test_restart_begins_a_new_run(box: Lamina) -> None:
    box("run", "-d", "--name", "on", "busybox", "sleep", "1000")
    before = state(box, "on")["Pid"]
    assert box("restart", "-t", "0", "on") == "on\n"
    after = state(box, "on")
    assert after["Running"]
    assert after["Pid"] != before
    box("create", "--name", "off", "busybox", "sleep", "1000")
    box("restart", "off")
    assert state(box, "off")["Running"]


def test_on_failure_tries_as_often_as_it_says(box: Lamina) -> None:
    done = box.run("run", "--name", "failing", "--restart", "on-failure:2", "busybox", *FAIL)
    assert (done.stdout, done.returncode) == ("run\n", 3)  # the client sees the first run
    wait_until(lambda: state(box, "failing")["Status"] == "exited", seconds=60, what="the last run")
    assert state(box, "failing")["RestartCount"] == 2
    assert box("logs", "failing") == "run\n" * 3
    box("run", "--name", "good", "--restart", "on-failure", "busybox", "true")
    assert state(box, "good")["Status"] == "exited"


@pytest.mark.parametrize("how", [["stop"], ["kill"], ["rm", "-f"]])
def test_between_two_runs_it_can_be_stopped(box: Lamina, how: list[str]) -> None:
    box("run", "-d", "--name", "again", "--restart", "always", "busybox", *FAIL)
    wait_until(lambda: state(box, "again")["RestartCount"] >= 5, seconds=60, what="a long pause")
    shown = ("ps", "--format", "{{.Status}}")
    wait_until(lambda: box(*shown).startswith("Restarting (3) "), seconds=60, what="the pause")
    assert box(*how, "again") == "again\n"
    if how[0] == "rm":
        assert box("ps", "-aq") == ""
    else:
        wait_until(lambda: state(box, "again")["Status"] == "exited", seconds=60, what="the end")
        assert state(box, "again")["ExitCode"] in (3, 137, 143)  # the next run may have begun just before
    wait_until(lambda: not os.listdir(f"{box.root}/lamina/run"), seconds=30, what="the end of the monitor")


def test_a_run_that_somebody_stops_is_the_last(box: Lamina) -> None:
    for policy in ("always", "unless-stopped"):
        box("run", "-d", "--name", policy, "--restart", policy, "busybox", "sleep", "1000")
        box("stop", "-t", "0", policy)
        assert state(box, policy)["Status"] == "exited"
        assert state(box, policy)["RestartCount"] == 0


def test_a_run_that_nobody_stopped_is_followed_by_another(box: Lamina) -> None:
    box("run", "-d", "--name", "server", "--restart", "unless-stopped", "busybox", "sleep", "1000")
    first = state(box, "server")["Pid"]
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: state(box, "server")["Pid"] not in (0, first), seconds=60, what="the second run")
    assert state(box, "server")["RestartCount"] == 1
    assert box("exec", "server", "echo", "here") == "here\n"


def test_wait_is_for_the_next_exit(box: Lamina) -> None:
    box("run", "-d", "--name", "waited", "--restart", "always", "busybox", "sh", "-c", "sleep 0.5; exit 9")
    assert box("wait", "waited") == "9\n"


def test_paused_processes_stand_still(box: Lamina) -> None:
    box("run", "-d", "--name", "clock", "busybox", "sh", "-c", "while true; do echo tick; sleep 0.05; done")
    wait_until(lambda: box("logs", "clock"), seconds=60, what="the first line")
    box("pause", "clock")
    assert state(box, "clock")["Status"] == "paused"
    assert "(Paused)" in box("ps", "--format", "{{.Status}}")
    # What was written just before may still be on its way.
    wait_until(lambda: box("logs", "clock") == box("logs", "clock"), seconds=60, what="the last line")
    before = box("logs", "clock")
    time.sleep(0.3)
    assert box("logs", "clock") == before
    box("unpause", "clock")
    wait_until(lambda: box("logs", "clock") != before, seconds=60, what="another line")
    box("pause", "clock")
    box("stop", "-t", "1", "clock")
    assert state(box, "clock")["Status"] == "exited"


def test_rename_frees_the_old_name(box: Lamina) -> None:
    box("run", "-d", "--name", "old", "busybox", "sleep", "1000")
    box("rename", "old", "new")
    box("create", "--name", "old", "busybox")
    assert box("ps", "-a", "--format", "{{.Names}}").split() == ["old", "new"]
    done = box.run("rename", "old", "new")
    assert 'The container name "/new" is already in use' in done.stderr
    assert done.returncode == 1


def test_top_shows_the_containers_processes_and_no_others(box: Lamina) -> None:
    box("run", "-d", "--name", "two", "busybox", "sh", "-c", "sleep 1001 & sleep 1002; true")
    expected = ["sh -c sleep 1001 & sleep 1002; true", "sleep 1001", "sleep 1002"]

    def commands() -> list[str]:
        titles, *lines = box("top", "two", "-o", "pid,args").splitlines()
        assert titles.split() == ["PID", "COMMAND"]
        return sorted(line.split(maxsplit=1)[1] for line in lines)

    wait_until(lambda: commands() == expected, seconds=60, what="all processes")


def test_a_killed_monitor_is_noticed_by_the_next_command(box: Lamina) -> None:
    box("run", "-d", "--name", "orphan", "--restart", "always", "busybox", "sleep", "1000")
    pid = state(box, "orphan")["Pid"]
    with open(f"/proc/{pid}/stat") as file:
        monitor = int(file.read().rpartition(")")[2].split()[1])
    os.kill(monitor, signal.SIGKILL)
    wait_until(lambda: not os.path.exists(f"/proc/{monitor}"), seconds=60, what="the monitor to die")
    assert state(box, "orphan")["Status"] == "exited"
    assert box("start", "orphan") == "orphan\n"
    assert state(box, "orphan")["Running"]
