"""Health checks: what the monitor runs, and what people see of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from support.command import Lamina
from support.processes import wait_until

pytestmark = [pytest.mark.root, pytest.mark.needs("crun")]


def health(box: Lamina, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(box("container", "inspect", name))[0]["State"]["Health"]
    return found


def wait_for(box: Lamina, name: str, status: str) -> dict[str, Any]:
    wait_until(lambda: health(box, name)["Status"] == status, seconds=60, what=f"{name} to be {status}")
    return health(box, name)


def test_a_check_that_works_makes_it_healthy(box: Lamina) -> None:
    check = ("--health-cmd", "echo fine; echo bad >&2", "--health-interval", "200ms")
    id = box("run", "-d", "--name", "good", *check, "busybox", "sleep", "1000").strip()
    found = wait_for(box, "good", "healthy")
    assert found["FailingStreak"] == 0
    shown = ("--filter", f"container={id}", "--format", "{{.Action}} {{.Actor.Attributes.exitCode}}")
    told = box("events", "--since", "1h", "--until", "0s", *shown).splitlines()
    command = "/bin/sh -c echo fine; echo bad >&2"
    assert told[2:6] == [
        f"exec_create: {command} <no value>",
        f"exec_start: {command} <no value>",
        "exec_die 0",
        "health_status: healthy <no value>",
    ]
    assert found["Log"][0]["ExitCode"] == 0
    assert sorted(found["Log"][0]["Output"].splitlines()) == ["bad", "fine"]
    assert box("ps", "--format", "{{.Status}}").endswith(" (healthy)\n")
    wait_until(lambda: len(health(box, "good")["Log"]) == 5, seconds=60, what="five checks")
    box("kill", "good")
    assert health(box, "good")["Status"] == "unhealthy"


def test_failures_in_a_row_make_it_unhealthy_and_another_success_healthy(box: Lamina) -> None:
    check = ("--health-cmd", "test -e /good", "--health-interval", "100ms", "--health-retries", "2")
    box("run", "-d", "--name", "shaky", *check, "busybox", "sleep", "1000")
    assert wait_for(box, "shaky", "unhealthy")["FailingStreak"] >= 2
    assert "(unhealthy)" in box("ps", "--format", "{{.Status}}")
    box("exec", "shaky", "touch", "/good")
    wait_for(box, "shaky", "healthy")


def test_a_check_that_takes_too_long_is_ended(box: Lamina) -> None:
    check = ("--health-cmd", "sleep 999", "--health-interval", "100ms", "--health-timeout", "300ms")
    box("run", "-d", "--name", "slow", *check, "--health-retries", "1", "busybox", "sleep", "1000")
    entry = wait_for(box, "slow", "unhealthy")["Log"][0]
    assert (entry["ExitCode"], entry["Output"]) == (-1, "Health check exceeded timeout (300ms)")


def test_failures_of_the_start_period_do_not_count(box: Lamina) -> None:
    check = ("--health-cmd", "exit 1", "--health-interval", "100ms", "--health-retries", "1")
    box("run", "-d", "--name", "new", *check, "--health-start-period", "1h", "busybox", "sleep", "1000")
    wait_until(lambda: len(health(box, "new")["Log"]) >= 2, seconds=60, what="two checks")
    assert (health(box, "new")["Status"], health(box, "new")["FailingStreak"]) == ("starting", 0)
    assert "(health: starting)" in box("ps", "--format", "{{.Status}}")


def test_a_check_that_runs_does_not_hold_up_the_end(box: Lamina) -> None:
    check = ("--health-cmd", "sleep 999", "--health-interval", "50ms")
    box("run", "-d", "--name", "ending", *check, "busybox", "sleep", "1000")
    wait_until(lambda: "999" in box("top", "ending"), seconds=60, what="a check")
    box("rm", "-f", "ending")
    assert box("ps", "-aq") == ""


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--no-healthcheck", "--health-cmd", "x"], "--no-healthcheck conflicts with --health-* options"),
        (["--health-interval=-1s"], "--health-interval cannot be negative"),
        (["--health-interval", "1us", "--health-cmd", "x"], "Interval in Healthcheck cannot be less than 1ms"),
        (["--health-timeout", "x"], 'invalid argument "x" for "--health-timeout" flag: time: invalid duration "x"'),
    ],
)
def test_settings_that_can_not_be_are_refused(box: Lamina, flags: list[str], message: str) -> None:
    done = box.run("create", *flags, "busybox", "true")
    assert message in done.stderr
    assert done.returncode in (1, 125)
