"""``system restore``: what runs again after a reboot."""

from __future__ import annotations

import json
import os
import shutil
import signal

import pytest

from support.command import Lamina
from support.processes import wait_until

pytestmark = [pytest.mark.root, pytest.mark.needs("crun")]


def pid_of(box: Lamina, name: str) -> int:
    return int(json.loads(box("container", "inspect", name))[0]["State"]["Pid"])


def parent_of(pid: int) -> int:
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[1])


def has_ended(pid: int) -> bool:
    """Whoever inherited it may take its time to reap it."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def lose(box: Lamina, *names: str) -> None:
    """As if the host had gone down: no process is left, nor what is in the run directories; the states stay."""
    for name in names:
        pid = pid_of(box, name)
        monitor = parent_of(pid)
        for victim in (monitor, pid):
            os.kill(victim, signal.SIGKILL)
            wait_until(lambda victim=victim: has_ended(victim), seconds=60, what="a process to die")
    shutil.rmtree(f"{box.root}/lamina/run")


def test_what_its_policy_wants_runs_again_after_a_reboot(box: Lamina) -> None:
    run = ("run", "-d", "--network", "none")
    for name, policy in (("aa", "always"), ("bb", "unless-stopped"), ("cc", "on-failure"), ("dd", "no")):
        box(*run, "--name", name, "--restart", policy, "busybox", "sleep", "1000")
    box(*run, "--name", "joined", "--restart", "always", "--pid", "container:dd", "busybox", "sleep", "1000")
    for name, policy in (("stopped-always", "always"), ("stopped", "unless-stopped")):
        box(*run, "--name", name, "--restart", policy, "busybox", "sleep", "1000")
        box("stop", "-t", "0", name)
    box("create", "--name", "never-started", "--restart", "always", "--network", "none", "busybox", "sleep", "1000")
    box(*run, "--name", "gone", "--rm", "busybox", "sleep", "1000")
    lose(box, "joined", "aa", "bb", "cc", "dd", "gone")

    done = box.run("system", "restore")
    assert done.stdout.split() == ["aa", "bb", "cc", "stopped-always"]
    # what it wants to join did not come back
    assert done.returncode == 1
    assert done.stderr.startswith("Error: failed to start joined: ")
    running = box("ps", "--format", "{{.Names}}").split()
    assert sorted(running) == ["aa", "bb", "cc", "stopped-always"]
    assert box("exec", "aa", "echo", "here") == "here\n"
    everything = box("ps", "-a", "--format", "{{.Names}} {{.Status}}")
    assert "gone" not in everything
    assert "never-started Created" in everything
    assert "dd Exited (255)" in everything
    assert box.run("rm", "joined").returncode == 0
    assert box("system", "restore") == ""
