"""Daemons that the benchmarks talk to: each on directories and sockets of its own, ended by the one who started it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_START_SECONDS = 60.0
_STOP_SECONDS = 60.0


@contextmanager
def running(command: list[str], log: str, ready: Callable[[], bool], **environment: str) -> Iterator[int]:
    """Run ``command`` in the background; the context begins when ``ready`` says so, with the process's id."""
    with open(log, "wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env={**os.environ, **environment},
        )
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} did not start; see {log}")
            time.sleep(0.1)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def succeeds(*command: str) -> bool:
    done = subprocess.run(
        command, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return done.returncode == 0


@contextmanager
def registry(directory: str) -> Iterator[str]:
    """Debian's docker-registry over ``directory``; its ``127.0.0.1:port``."""
    os.makedirs(directory, exist_ok=True)
    port = free_port()
    configuration = f"{directory}/config.yml"
    with open(configuration, "w") as file:
        file.write(
            "version: 0.1\n"
            "log: {level: error, accesslog: {disabled: true}}\n"
            f"storage: {{filesystem: {{rootdirectory: {directory}/data}}}}\n"
            f"http: {{addr: '127.0.0.1:{port}', secret: bench}}\n"
        )
    command = ["docker-registry", "serve", configuration]
    with running(command, f"{directory}/log", lambda: listens(port), OTEL_TRACES_EXPORTER="none"):
        yield f"127.0.0.1:{port}"
