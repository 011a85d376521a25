"""Limits of an ordinary user's containers, where systemd gives control groups away to a user with a session."""

from __future__ import annotations

import os
import pwd
import shlex
import subprocess
import sys
from collections.abc import Iterator

import pytest

from lamina.runtime import cgroup
from support.images import busybox_image

pytestmark = [
    pytest.mark.root,
    pytest.mark.needs("crun", "newuidmap", "newgidmap", "systemd-run"),
    pytest.mark.skipif(not os.path.isdir("/run/systemd/system"), reason="systemd does not run this host"),
    pytest.mark.skipif(not cgroup.is_unified(), reason="needs control groups of version 2 alone"),
]


class Session:
    """Somebody's session: each command is in one of its own, as over ssh."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, command: str) -> str:
        lines = [f"PATH={shlex.quote(os.path.dirname(sys.executable))}:$PATH", f"cd {shlex.quote(self.home)}", command]
        session = [
            "systemd-run",
            "--quiet",
            "--pipe",
            "--wait",
            "--collect",
            f"--uid={self.name}",
            "--property=PAMName=login",
        ]
        done = subprocess.run(
            [*session, "sh", "-ec", "; ".join(lines)], capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @property
    def home(self) -> str:
        return pwd.getpwnam(self.name).pw_dir


@pytest.fixture
def user() -> Iterator[Session]:
    name = "lamina-limits"
    subprocess.run(["useradd", "--create-home", "--add-subids-for-system", name], check=True)
    subprocess.run(["loginctl", "enable-linger", name], check=True)
    session = Session(name)
    try:
        archive = busybox_image().docker_archive(f"{session.home}/busybox.tar", "busybox:latest")
        os.chmod(archive, 0o644)
        session("lamina load -q -i busybox.tar")
        yield session
        session("lamina ps -aq | xargs -r lamina rm -f")
    finally:
        subprocess.run(["loginctl", "disable-linger", name], check=False)
        subprocess.run(["loginctl", "terminate-user", name], check=False)
        subprocess.run(["systemctl", "stop", f"user@{pwd.getpwnam(name).pw_uid}.service"], check=False)
        subprocess.run(["userdel", "--remove", "--force", name], check=True)


def test_limits_are_those_that_were_asked_for(user: Session) -> None:
    user("lamina run -d --network none --name one -m 64m --cpus 0.5 --pids-limit 50 busybox sleep 600")
    files = "cd /sys/fs/cgroup; cat memory.max cpu.max pids.max"
    assert user(f"lamina exec one sh -c {shlex.quote(files)}").split() == ["67108864", "50000", "100000", "50"]
    assert user("lamina stats --no-stream --format '{{.MemUsage}} {{.PIDs}}' one").split("/ ")[1] == "64MiB 1\n"
    user("lamina update --pids-limit 40 one")
    assert user("lamina exec one cat /sys/fs/cgroup/pids.max") == "40\n"
    user("lamina pause one")
    assert user("lamina ps --format '{{.Status}}'").endswith("(Paused)\n")
    user("lamina unpause one")
    dd = "lamina run --network none --name big -m 8m busybox dd if=/dev/zero of=/dev/null bs=64M || true"
    user(dd)
    assert user("lamina inspect -f '{{.State.OOMKilled}}' big") == "true\n"
