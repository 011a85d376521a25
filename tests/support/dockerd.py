"""A real dockerd (Debian's docker.io) on a root of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from typing import Any

from support.hosts import Host
from support.mounts import unmount_all
from support.processes import Service
from support.programs import DOCKER, DOCKERD


class Dockerd:
    """One daemon: its data in ``root``; its socket, exec root and log in a short-named directory under ``/tmp``.

    It keeps off the host: no bridge, no firewall rules, its own containerd. Containers can use ``--network host`` or
    ``none``. On a :class:`~support.hosts.Host` it has bridge and rules there. Everything ends with :meth:`stop`, after
    which :meth:`start` starts it again on the same root.
    """

    def __init__(
        self, root: str, *, driver: str = "overlay2", flags: Sequence[str] = (), on: Host | None = None
    ) -> None:
        self.root = root
        self.on = on
        self.driver = driver
        self.flags = list(flags)
        # Unix socket paths end at 107 bytes, and containerd's lie deep below the exec root.
        self.run_directory = tempfile.mkdtemp(prefix="dockerd-", dir="/tmp")
        self.host = f"unix://{self.run_directory}/sock"
        self._service: Service | None = None

    def start(self) -> Dockerd:
        """Start it and wait until it answers; itself."""
        here = self.run_directory
        command = [DOCKERD, "--data-root", self.root, "--exec-root", f"{here}/exec", "--pidfile", f"{here}/pid"]
        command += ["--host", self.host, "--storage-driver", self.driver, *self.flags]
        if self.on is None:
            command += ["--iptables=false", "--ip-forward=false", "--bridge=none"]
        else:
            command = self.on.enter(*command)
        self._service = Service(command, f"{here}/log")
        self._service.wait_until_ready(self._answers, seconds=60)
        return self

    def _answers(self) -> bool:
        return os.path.exists(f"{self.run_directory}/sock") and self.run("version").returncode == 0

    def stop(self) -> None:
        """Stop the daemon and what it left mounted. Idempotent."""
        if self._service is None:
            return
        self._service.stop()
        self._service = None
        # It leaves the "default" network namespace, and after a SIGKILL whatever was mounted.
        unmount_all(self.run_directory)
        unmount_all(self.root)

    def close(self) -> None:
        """:meth:`stop`, and remove the run-time directory. The root stays."""
        self.stop()
        shutil.rmtree(self.run_directory, ignore_errors=True)

    def log(self) -> str:
        """What the daemon has logged so far."""
        with open(f"{self.run_directory}/log", errors="replace") as log:
            return log.read()

    def run(
        self, *arguments: str, input: bytes | None = None, timeout: float = 120
    ) -> subprocess.CompletedProcess[bytes]:
        """Run ``docker ARGUMENTS`` against it, whatever its exit code; output as bytes."""
        environment = {**os.environ, "DOCKER_HOST": self.host, "DOCKER_CONFIG": f"{self.run_directory}/client"}
        stdin: dict[str, Any] = {"stdin": subprocess.DEVNULL} if input is None else {"input": input}
        return subprocess.run(
            [DOCKER, *arguments], capture_output=True, env=environment, timeout=timeout, check=False, **stdin
        )

    def docker(self, *arguments: str, input: bytes | None = None, timeout: float = 120) -> str:
        """Run ``docker ARGUMENTS`` against it, which must succeed; its standard output as text."""
        done = self.run(*arguments, input=input, timeout=timeout)
        assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr.decode(errors='replace')}"
        return done.stdout.decode()
