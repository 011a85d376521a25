"""A host of its own for tests of networks: a network namespace, and another machine on the same wire.

Nothing on the machine that runs the tests is seen or touched: bridges, rules and ports are the namespace's.
"""

from __future__ import annotations

import os
import socket
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from lamina.linux import netns
from support.command import Lamina

#: Addresses on the wire.
HOST, OTHER = "10.213.7.1", "10.213.7.2"


class Host:
    """The namespaces ``name`` (the host) and ``name``-other (the machine beside it)."""

    def __init__(self) -> None:
        self.name = f"lt{uuid.uuid4().hex[:8]}"
        self.other = f"{self.name}o"
        for name in (self.name, self.other):
            _ip("netns", "add", name)
            _ip("-n", name, "link", "set", "lo", "up")
        _ip("-n", self.name, "link", "add", "wire0", "type", "veth", "peer", "name", "wire0", "netns", self.other)
        for name, address in ((self.name, HOST), (self.other, OTHER)):
            _ip("-n", name, "address", "add", f"{address}/24", "dev", "wire0")
            _ip("-n", name, "link", "set", "wire0", "up")

    def close(self) -> None:
        for name in (self.name, self.other):
            _ip("netns", "delete", name)

    def enter(self, *command: str, other: bool = False) -> list[str]:
        """``command`` as it is started on the host, or on the other machine."""
        return ["nsenter", f"--net=/run/netns/{self.other if other else self.name}", "--", *command]

    def run(self, *command: str, other: bool = False, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command there."""
        done = subprocess.run(
            self.enter(*command, other=other), capture_output=True, text=True, timeout=60, check=False
        )
        assert not check or done.returncode == 0, f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    @contextmanager
    def inside(self, *, other: bool = False) -> Iterator[None]:
        """This thread is there until the block ends; sockets that it makes stay there."""
        descriptor = os.open(f"/run/netns/{self.other if other else self.name}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            with netns.entered(descriptor):
                yield
        finally:
            os.close(descriptor)

    def get(self, address: str, port: int, *, other: bool = False) -> str:
        """The page of a web server, ``""`` when it can't be reached."""
        try:
            with self.inside(other=other), socket.create_connection((address, port), timeout=3) as connection:
                connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
                connection.settimeout(10)
                said = b""
                while data := connection.recv(65536):
                    said += data
        except OSError:
            return ""
        return said.partition(b"\r\n\r\n")[2].decode()

    def ask(self, address: str, port: int, data: bytes) -> bytes:
        """The answer to a datagram, ``b""`` when there is none."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with self.inside(), socket.socket(family, socket.SOCK_DGRAM) as asking:
            asking.settimeout(3)
            try:
                asking.connect((address, port))
                asking.send(data)
                return asking.recv(65536)
            except OSError:
                return b""

    def rules(self) -> str:
        """The packet filter as text."""
        return self.run("nft", "list", "ruleset").stdout

    def interfaces(self) -> set[str]:
        """Names of the interfaces."""
        said = self.run("ip", "-o", "link").stdout
        return {line.split(": ")[1].split("@")[0] for line in said.splitlines()}


class LaminaOn(Lamina):
    """The command on a :class:`Host`."""

    def __init__(self, host: Host, root: str, docker_config: str) -> None:
        super().__init__(root, docker_config)
        self.host = host

    def command(self, *arguments: str) -> list[str]:
        return self.host.enter(*super().command(*arguments))


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}"
