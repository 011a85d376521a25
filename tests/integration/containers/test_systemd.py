"""Containers on a host that systemd runs: what it does with its units does not concern them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lamina.runtime import cgroup
from support.command import Lamina

pytestmark = [
    pytest.mark.root,
    pytest.mark.needs("crun", "systemd-run", "systemctl"),
    pytest.mark.skipif(not os.path.isdir("/run/systemd/system"), reason="systemd does not run this host"),
]


def test_a_container_outlives_the_service_that_started_it(box: Lamina) -> None:
    command = [f"{os.path.dirname(sys.executable)}/lamina", "--root", box.root]
    run = ["run", "-d", "--network", "none", "--name", "kept", "--restart", "always", "busybox", "sleep", "600"]
    # With the end of its first process a service is over, and systemd kills what it left.
    subprocess.run(["systemd-run", "--quiet", "--wait", *command, *run], check=True, timeout=60)
    pid = box("inspect", "-f", "{{.State.Pid}}", "kept").strip()
    monitor = Path(f"/proc/{pid}/status").read_text().partition("\nPPid:")[2].split()[0]
    assert cgroup.MONITORS in Path(f"/proc/{monitor}/cgroup").read_text()
    assert box("exec", "kept", "echo", "here") == "here\n"


def test_its_limits_outlast_what_systemd_does_with_its_own(box: Lamina) -> None:
    run = ["run", "-d", "--network", "none", "--name", "limited", "-m", "64m", "--pids-limit", "20", "--cpus", "0.5"]
    box(*run, "busybox", "sleep", "600")
    script = "cat /proc/self/cgroup; cd /sys/fs/cgroup; cat memory.max pids.max cpu.max || cat */lamina/*/pids.max"
    before = box("exec", "limited", "sh", "-c", f"{script} 2>/dev/null")
    subprocess.run(["systemctl", "daemon-reload"], check=True, timeout=60)
    subprocess.run(["systemctl", "set-property", "--runtime", "system.slice", "MemoryHigh=90%"], check=True, timeout=60)
    subprocess.run(["systemctl", "revert", "system.slice"], check=True, timeout=60)
    assert box("exec", "limited", "sh", "-c", f"{script} 2>/dev/null") == before
