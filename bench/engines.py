"""The four engines, each as the commands that do one thing with an image.

All of them keep their storage below the same directory, so on the same disk, and use overlayfs.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from bench.services import running, succeeds


class Engine(Protocol):
    """Commands are argument lists. ``name`` is the program's; ``processes`` are daemons whose memory counts too."""

    name: str
    processes: list[int]

    def serve(self) -> AbstractContextManager[None]:
        """Run whatever daemon the engine needs."""

    def version(self) -> str: ...
    def pull(self, reference: str) -> list[str]: ...
    def load(self, archive: str) -> list[str]: ...
    def save(self, reference: str, archive: str) -> list[str]: ...
    def run(self, reference: str, number: int) -> list[str]:
        """Run ``true`` in a container without a network and remove it. ``number`` makes names unique."""

    def remove(self, reference: str) -> list[str]: ...


def output(*command: str) -> str:
    done = subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()


class _DockersGrammar:
    """The command lines that docker and lamina share."""

    command: list[str]

    def pull(self, reference: str) -> list[str]:
        return [*self.command, "pull", "-q", reference]

    def load(self, archive: str) -> list[str]:
        return [*self.command, "load", "-q", "-i", archive]

    def save(self, reference: str, archive: str) -> list[str]:
        return [*self.command, "save", "-o", archive, reference]

    def run(self, reference: str, number: int) -> list[str]:
        return [*self.command, "run", "--rm", "--network", "none", reference, "true"]

    def remove(self, reference: str) -> list[str]:
        return [*self.command, "rmi", "-f", reference]


class Lamina(_DockersGrammar):
    name = "lamina"

    def __init__(self, directory: str, program: str) -> None:
        self.processes: list[int] = []
        self._program = program
        self.command = [program, "--root", f"{directory}/lamina"]

    @contextmanager
    def serve(self) -> Iterator[None]:
        yield

    def version(self) -> str:
        return output(self._program, "--version")


class Docker(_DockersGrammar):
    name = "docker"

    def __init__(self, directory: str, client: str = "/usr/bin/docker", *, bridge: bool = False) -> None:
        self.processes: list[int] = []
        self._bridge = bridge
        self._directory = f"{directory}/docker"
        self._socket = f"{self._directory}/sock"
        self.command = [client, "-H", f"unix://{self._socket}"]

    @contextmanager
    def serve(self) -> Iterator[None]:
        here = self._directory
        os.makedirs(here, exist_ok=True)
        daemon = ["/usr/sbin/dockerd", "--data-root", f"{here}/root", "--exec-root", f"{here}/exec"]
        daemon += ["-p", f"{here}/pid", "-H", f"unix://{self._socket}", "--storage-driver", "overlay2"]
        if not self._bridge:
            daemon += ["--iptables=false", "--ip-forward=false", "--bridge=none"]
        try:
            with running(daemon, f"{here}/log", lambda: succeeds(*self.command, "version")) as process:
                self.processes = [process]
                yield
        finally:
            # dockerd leaves it mounted when a container had the host's network.
            succeeds("umount", f"{here}/exec/netns/default")

    def version(self) -> str:
        return output(*self.command, "version", "--format", "{{.Server.Version}}")


class Podman:
    """podman asks for more open files than a restricted host allows, hence the host's own limit."""

    name = "podman"

    def __init__(self, directory: str) -> None:
        self.processes: list[int] = []
        here = f"{directory}/podman"
        self._command = ["podman", "--root", f"{here}/root", "--runroot", f"{here}/run", "--storage-driver", "overlay"]

    @contextmanager
    def serve(self) -> Iterator[None]:
        yield

    def version(self) -> str:
        return output("podman", "version", "--format", "{{.Client.Version}}")

    def pull(self, reference: str) -> list[str]:
        return [*self._command, "pull", "-q", "--tls-verify=false", reference]

    def load(self, archive: str) -> list[str]:
        return [*self._command, "load", "-q", "-i", archive]

    def save(self, reference: str, archive: str) -> list[str]:
        return [*self._command, "save", "-q", "-o", archive, reference]

    def run(self, reference: str, number: int) -> list[str]:
        return [*self._command, "run", "--rm", "--network", "none", "--ulimit", "host", reference, "true"]

    def remove(self, reference: str) -> list[str]:
        return [*self._command, "rmi", "-f", reference]


class Containerd:
    name = "ctr"

    def __init__(self, directory: str) -> None:
        self.processes: list[int] = []
        self._directory = f"{directory}/containerd"
        self._socket = f"{self._directory}/sock"
        self._command = ["ctr", "-a", self._socket]

    @contextmanager
    def serve(self) -> Iterator[None]:
        here = self._directory
        os.makedirs(here, exist_ok=True)
        with open(f"{here}/config.toml", "w") as file:
            file.write(
                f"version = 2\nroot = '{here}/root'\nstate = '{here}/state'\n"
                "disabled_plugins = ['io.containerd.grpc.v1.cri']\n"
                f"[grpc]\naddress = '{self._socket}'\n"
            )
        daemon = ["containerd", "--config", f"{here}/config.toml"]
        with running(daemon, f"{here}/log", lambda: succeeds(*self._command, "version")) as process:
            self.processes = [process]
            yield

    def version(self) -> str:
        return output("containerd", "--version").split()[2]

    def pull(self, reference: str) -> list[str]:
        return [*self._command, "images", "pull", "--plain-http", reference]

    def load(self, archive: str) -> list[str]:
        return [*self._command, "images", "import", archive]

    def save(self, reference: str, archive: str) -> list[str]:
        return [*self._command, "images", "export", archive, reference]

    def run(self, reference: str, number: int) -> list[str]:
        return [*self._command, "run", "--rm", reference, f"bench-{number}", "true"]

    def remove(self, reference: str) -> list[str]:
        return [*self._command, "images", "rm", "--sync", reference]
