"""What daemon.json gives containers that say nothing themselves, with a real dockerd and the same file."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import programs
from support.command import Lamina, configured_program
from support.dockerd import Dockerd
from support.pair import Pair

pytestmark = [pytest.mark.root, pytest.mark.dockerd, pytest.mark.needs("crun", "docker-init")]

CONFIGURATION = {
    "dns": ["9.9.9.9"],
    "dns-search": ["corp.example"],
    "dns-opts": ["ndots:2"],
    "default-shm-size": "32M",
    "default-ulimits": {"nofile": {"Name": "nofile", "Soft": 500, "Hard": 600}},
    "default-ipc-mode": "shareable",
    "init": True,
    "no-new-privileges": True,
}
#: Commands of which both say the same, in this order.
COMMANDS = """
run --name c1 --network none busybox cat /etc/resolv.conf
inspect -f '{{json_.HostConfig.Dns}}' c1
inspect -f '{{json_.HostConfig.SecurityOpt}} {{json_.HostConfig.Ulimits}} {{.HostConfig.IpcMode}}' c1
run --network host busybox cat /etc/resolv.conf
run --network none --dns 1.1.1.1 --dns-search . busybox cat /etc/resolv.conf
run --network none busybox sh -c 'ulimit -Hn; cat /proc/1/comm; grep -h -e NoNew -e shm /proc/1/status /proc/mounts'
run --network none --init=false --ulimit nofile=70 --security-opt no-new-privileges=false \
 --shm-size 1m --ipc private busybox sh -c 'ulimit -n; cat /proc/1/comm; grep NoNew /proc/1/status'
"""


class ConfiguredLamina(Lamina):
    """The command with a configuration file of its own."""

    def __init__(self, root: str, docker_config: str, file: str) -> None:
        super().__init__(root, docker_config)
        self._file = file

    def command(self, *arguments: str) -> list[str]:
        return [*configured_program(self._file), "--root", self.root, *arguments]


@pytest.fixture
def configured(tmp_path: Path, busybox_archive: str) -> Iterator[Pair]:
    programs.need_root()
    file = tmp_path / "daemon.json"
    file.write_text(json.dumps(CONFIGURATION))
    daemon = Dockerd(str(tmp_path / "docker"), flags=["--config-file", str(file)])
    lamina = ConfiguredLamina(str(tmp_path / "root"), str(tmp_path / "config"), str(file))
    try:
        daemon.start()
        for load in (daemon.docker, lamina):
            load("load", "-i", busybox_archive)
        yield Pair(daemon, lamina)
    finally:
        lamina.remove_containers()
        left = daemon.run("ps", "-aq").stdout.decode().split()
        daemon.run("rm", "-f", *left)
        daemon.close()


def said(done: subprocess.CompletedProcess[bytes] | subprocess.CompletedProcess[str]) -> tuple[int, str]:
    out = done.stdout if isinstance(done.stdout, str) else done.stdout.decode()
    return done.returncode, out


def test_containers_get_what_the_file_says(configured: Pair) -> None:
    different = []
    for line in COMMANDS.replace("\\\n", "").strip().splitlines():
        words = [word.replace("json_", "json ") for word in shlex.split(line)]
        docker, lamina = said(configured.daemon.run(*words)), said(configured.lamina.run(*words))
        if docker != lamina or docker[0]:
            different.append(f"{line}\n  docker: {docker}\n  lamina: {lamina}")
    assert not different, "\n".join(different)


def test_commands_of_a_build_get_it_too(configured: Pair, tmp_path: Path) -> None:
    """As the classic builder's do; ``init`` and ``no-new-privileges`` among it."""
    context = tmp_path / "context"
    context.mkdir()
    seen = "cat /etc/resolv.conf; ulimit -Sn; cat /proc/1/comm; grep -h -e NoNew -e shm /proc/1/status /proc/mounts"
    (context / "Dockerfile").write_text(f"FROM busybox\nRUN ({seen}) > /seen\n")
    answers = []
    for run in (configured.daemon.run, configured.lamina.run):
        assert (
            run("build", "--network", "none", "--ulimit", "nofile=70:90", "-t", "built", str(context)).returncode == 0
        )
        answers.append(said(run("run", "--rm", "--network", "none", "built", "cat", "/seen")))
    assert answers[0] == answers[1]
    assert "nameserver 9.9.9.9" in answers[0][1]
