"""The installed ``lamina`` command on a root of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any


def lamina_program() -> str:
    """Path of the console script that belongs to the running interpreter's environment."""
    return os.path.join(os.path.dirname(sys.executable), "lamina")


_CONFIGURED = """
import sys
from lamina.cli import main, opening
opening.CONFIGURATION_FILE = sys.argv[1]
sys.exit(main.main(sys.argv[2:]))
"""


def configured_program(file: str) -> list[str]:
    """The command with a configuration file of its own instead of the host's."""
    return [sys.executable, "-c", _CONFIGURED, file]


class Lamina:
    """Runs ``lamina --root ROOT ...`` with a Docker configuration directory of its own.

    Calling it runs a command that must succeed and returns its standard output; :meth:`run` returns the completed
    process whatever its exit code.
    """

    def __init__(self, root: str, docker_config: str, options: tuple[str, ...] = ()) -> None:
        self.root = root
        self.docker_config = docker_config
        self.options = options
        self.environment = {**os.environ, "DOCKER_CONFIG": docker_config}
        self.environment.pop("LAMINA_ROOT", None)

    def command(self, *arguments: str) -> list[str]:
        """The whole command line, for a caller who starts it in a way of its own."""
        return [lamina_program(), "--root", self.root, *self.options, *arguments]

    def run(
        self, *arguments: str, input: bytes | str | None = None, timeout: float = 120, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run one command; output as text (undecodable bytes escaped)."""
        data = input.encode() if isinstance(input, str) else input
        stdin: dict[str, Any] = {"stdin": subprocess.DEVNULL} if data is None else {"input": data}
        environment = {**self.environment, **(env or {})}
        command = self.command(*arguments)
        done = subprocess.run(command, capture_output=True, env=environment, timeout=timeout, check=False, **stdin)
        output, errors = (text.decode(errors="backslashreplace") for text in (done.stdout, done.stderr))
        return subprocess.CompletedProcess(command, done.returncode, output, errors)

    def __call__(self, *arguments: str, **options: Any) -> str:
        done = self.run(*arguments, **options)
        said = f"lamina {' '.join(arguments)}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        assert done.returncode == 0, said
        return done.stdout

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        """Start one command and leave it running; its output goes to pipes unless ``options`` say otherwise."""
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(self.command(*arguments), env=self.environment, **{**streams, **options})

    def remove_containers(self) -> None:
        """Remove every container of the root, running or not."""
        if not os.path.isdir(os.path.join(self.root, "containers")):
            return
        listed = self.run("ps", "-aq", "--no-trunc")
        if listed.returncode == 0 and (ids := listed.stdout.split()):
            self.run("rm", "-f", *ids)
