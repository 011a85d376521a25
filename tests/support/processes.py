"""Start services for tests, wait for them, end them by process id."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(condition: Callable[[], object], *, seconds: float, what: str) -> None:
    """Poll until ``condition`` is true; ``AssertionError`` naming ``what`` when it does not become so in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
        time.sleep(0.02)


def accepts(port: int) -> bool:
    """Whether something listens on ``port`` of the loopback interface."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Service:
    """One background program with its log in a file; ``env`` is its whole environment, by default this process's.

    :ivar log: path of what it wrote to its standard output and error.
    """

    def __init__(self, command: Sequence[str], log: str, env: dict[str, str] | None = None) -> None:
        self.command = list(command)
        self.log = log
        with open(log, "ab") as sink:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, env=env)

    def wait_until_ready(self, condition: Callable[[], object], seconds: float = 30) -> None:
        """Poll until ``condition`` is true; fails with the end of the log when the program ends or time is up."""
        deadline = time.monotonic() + seconds
        while not condition():
            if self.process.poll() is not None or time.monotonic() > deadline:
                end = self.log_text()[-3000:]
                self.stop()
                raise AssertionError(f"{self.command[0]} did not become ready; its log ends:\n{end}")
            time.sleep(0.02)

    def log_text(self) -> str:
        """Everything that the program has logged so far."""
        with open(self.log, errors="replace") as log:
            return log.read()

    def stop(self, seconds: float = 20) -> None:
        """SIGTERM, then SIGKILL. Idempotent."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()
