"""Where the story is told: show commands and files, check what is claimed."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import textwrap
import time
from collections.abc import Sequence

from support.command import lamina_program


class CheckError(Exception):
    """Something that the story claims is not so."""


class Stage:
    """Runs ``lamina`` on one root and prints what a person at the keyboard would see.

    The root and the Docker configuration directory go through the environment, so the commands shown are complete.
    """

    def __init__(self, root: str, docker_config: str) -> None:
        self.root = root
        self.checks = 0
        self.environment = {**os.environ, "LAMINA_ROOT": root, "DOCKER_CONFIG": docker_config}
        self._bold, self._dim, self._green, self._plain = (
            ("\033[1m", "\033[2m", "\033[32m", "\033[0m") if sys.stdout.isatty() else ("", "", "", "")
        )
        self._started = time.monotonic()
        self._chapters = 0

    def chapter(self, title: str) -> None:
        """Begin a part of the story."""
        self._chapters += 1
        elapsed = time.monotonic() - self._started
        print(f"\n{self._bold}{self._chapters}. {title}{self._plain} {self._dim}[{elapsed:.0f} s]{self._plain}")

    def tell(self, text: str) -> None:
        """A sentence or two."""
        print(textwrap.fill(textwrap.dedent(text).strip(), 110))
        sys.stdout.flush()

    def lamina(self, *arguments: str, lines: int = 14, both: bool = False) -> str:
        """Run ``lamina ARGUMENTS``, which must succeed; show at most ``lines`` lines of what it says.

        :return: its output, with ``both`` what it told on the standard error too.
        """
        print(f"{self._bold}$ lamina {shlex.join(arguments)}{self._plain}")
        done = self.run(*arguments)
        self._print_block(done.stdout + done.stderr, lines)
        if done.returncode != 0:
            raise CheckError(f"lamina {shlex.join(arguments)} ended with code {done.returncode}")
        return (done.stdout + (done.stderr if both else "")).strip()

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``lamina ARGUMENTS`` off stage."""
        command = [lamina_program(), *arguments]
        return subprocess.run(
            command, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )

    def show(self, title: str, rows: Sequence[str], lines: int = 14) -> None:
        """Show something of the disk or the network."""
        print(f"{self._bold}# {title}{self._plain}")
        self._print_block("\n".join(rows), lines)

    def check(self, claim: str, holds: object, found: object = "") -> None:
        """Stop the demo unless ``holds``."""
        if not holds:
            raise CheckError(claim + (f"; found: {found}" if found != "" else ""))
        self.checks += 1
        print(f"  {self._green}ok{self._plain}  {claim}")
        sys.stdout.flush()

    def _print_block(self, text: str, lines: int) -> None:
        rows = text.strip("\n").splitlines()
        hidden = len(rows) - lines
        shown = rows if hidden <= 0 else [*rows[: lines - 1], f"... {hidden + 1} more lines"]
        for row in shown:
            print(f"  {self._dim}{row[:150]}{self._plain}")
        sys.stdout.flush()
