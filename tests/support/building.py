"""Building with the installed command."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from support.command import Lamina


def build(lamina: Lamina, context: Path, dockerfile: str, *options: str, **keywords: Any) -> str:
    """Build, which must succeed; what was said about it."""
    (context / "Dockerfile").write_text(dockerfile)
    done = lamina.run("build", *options, str(context), **keywords)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stderr


def refused(lamina: Lamina, context: Path, dockerfile: str, *options: str, **keywords: Any) -> str:
    """Build, which must fail; what was said about it."""
    (context / "Dockerfile").write_text(dockerfile)
    done = lamina.run("build", *options, str(context), **keywords)
    assert done.returncode, done.stdout + done.stderr
    return done.stderr


def inspect(lamina: Lamina, name: str) -> dict[str, Any]:
    """``image inspect``."""
    document: dict[str, Any] = json.loads(lamina("image", "inspect", name))[0]
    return document


def files_below(root: str) -> bytes:
    """Contents of all files there; what is removed meanwhile, of a container that has ended, is left out."""
    found = []
    for directory, _, names in os.walk(root):
        for name in names:
            path = Path(directory, name)
            with suppress(FileNotFoundError):
                if path.is_file():
                    found.append(path.read_bytes())
    return b"".join(found)


def left_over(lamina: Lamina) -> list[str]:
    """Traces of builds and containers that should have none, once what goes on in the background is done."""
    run = f"{lamina.root}/lamina/run"
    deadline = time.monotonic() + 30
    while True:
        found = _processes_of(lamina.root) + (os.listdir(run) if os.path.exists(run) else [])
        found += [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if lamina.root in line]
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def _processes_of(root: str) -> list[str]:
    """Processes whose root directory is below ``root``."""
    found = []
    for entry in os.listdir("/proc"):
        with suppress(OSError):
            if entry.isdigit() and os.readlink(f"/proc/{entry}/root").startswith(root):
                found.append(entry)
    return found
