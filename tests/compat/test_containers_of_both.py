"""Stopped containers of lamina in a real dockerd's hands, and a dockerd's in lamina's, on one root."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.command import Lamina
from support.dockerd import Dockerd

pytestmark = [pytest.mark.root, pytest.mark.dockerd, pytest.mark.needs("crun"), pytest.mark.slow]

#: What a container is given, with what each log driver and policy leaves in the files.
OPTIONS = [
    *("--network", "none", "--restart", "on-failure:3", "--hostname", "myhost", "-l", "color=red", "-e", "A=b"),
    *("--health-cmd", "test -e /tmp", "--health-interval", "1h", "--stop-signal", "SIGINT", "--stop-timeout", "3"),
    *("--expose", "81", "-p", "127.0.0.1:8099:80", "-v", "vol:/data", "--tmpfs", "/scratch", "-w", "/data"),
    *("-m", "64m", "--cpu-shares", "512", "--pids-limit", "50", "--ulimit", "nofile=99:100", "--cap-drop", "CHOWN"),
    *(
        "--add-host",
        "other:1.2.3.4",
        "--dns",
        "1.1.1.1",
        "--init=false",
        "--shm-size",
        "8m",
        "--sysctl",
        "net.ipv4.ip_forward=1",
    ),
]
SCRIPT = "echo out; echo err >&2; echo kept > /kept; echo row >> /data/rows"
LOGS = {
    "json-file": ["--log-opt", "max-size=1m", "--log-opt", "max-file=2", "--log-opt", "labels=color"],
    "local": ["--log-opt", "max-size=1m"],
}
#: Members of ``inspect`` that are the engine's own: paths, and what belongs to the last run.
OWN = {"GraphDriver", "ResolvConfPath", "HostnamePath", "HostsPath", "LogPath", "NetworkSettings", "State", "Warnings"}


def document(ask: Callable[..., str], name: str) -> dict[str, Any]:
    (found,) = json.loads(ask("container", "inspect", name))
    return {member: value for member, value in found.items() if member not in OWN}


def check_hand_over(first: Callable[..., str], second: Callable[..., str], hand_over: Callable[[], None]) -> None:
    """Containers that ``first`` made and ran are used up by ``second``."""
    for driver, options in LOGS.items():
        first("run", "--name", driver, *OPTIONS, "--log-driver", driver, *options, "busybox", "sh", "-c", SCRIPT)
    first("create", "--name", "idle", "--network", "none", "busybox", "true")
    before = {name: document(first, name) for name in (*LOGS, "idle")}
    shown = {name: first("logs", "--details", "-t", name).splitlines() for name in LOGS}
    hand_over()
    listed = second("ps", "-a", "--format", "{{.Names}} {{.Image}} {{.Command}} {{.Labels}}").splitlines()
    assert sorted(listed) == [
        'idle busybox "true" ',
        'json-file busybox "sh -c \'echo out; ec…" color=red',
        'local busybox "sh -c \'echo out; ec…" color=red',
    ]
    for name, expected in before.items():
        assert document(second, name) == expected, name
    for name, lines in shown.items():
        assert second("logs", "--details", "-t", name).splitlines() == lines
        second("start", name)
        assert second("wait", name) == "0\n"
        assert len(second("logs", name).splitlines()) == len(lines) * 2
        second("commit", name, f"of-{name}")
        assert second("run", "--rm", "--network", "none", f"of-{name}", "cat", "/kept") == "kept\n"
        assert second("run", "--rm", "--network", "none", "-v", "vol:/data", "busybox", "cat", "/data/rows")
        second("rename", name, f"new-{name}")
        second("rm", "-v", f"new-{name}")
    second("start", "-a", "idle")
    second("rm", "idle")
    assert second("ps", "-aq") == ""


def test_dockerd_uses_up_our_containers(
    tmp_path: Path, lamina_on: Callable[..., Lamina], dockerd_on: Callable[..., Dockerd], busybox_archive: str
) -> None:
    lamina = lamina_on(tmp_path / "root")
    lamina("load", "-q", "-i", busybox_archive)
    started: list[Dockerd] = []

    def docker(*words: str) -> str:
        return started[0].docker(*words)

    check_hand_over(lamina, docker, lambda: started.append(dockerd_on(tmp_path / "root")))
    started[0].stop()
    assert lamina("system", "fsck", "--repair").splitlines()[-1]
    assert os.listdir(tmp_path / "root/containers") == []


def test_we_use_up_a_dockerds_containers(
    tmp_path: Path, lamina_on: Callable[..., Lamina], dockerd_on: Callable[..., Dockerd], busybox_archive: str
) -> None:
    daemon = dockerd_on(tmp_path / "root")
    daemon.docker("load", "-i", busybox_archive)
    check_hand_over(daemon.docker, lamina_on(tmp_path / "root"), daemon.stop)
    assert os.listdir(tmp_path / "root/containers") == []
