"""Building with the installed command."""

from __future__ import annotations

import json
import os
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
