"""Running a part of a test without root's rights."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def as_nobody(directory: Path, action: Callable[[], object]) -> None:
    """Run ``action`` in a child without root's rights, which owns everything in ``directory``."""
    for path in (directory, *directory.parents):
        if path.name.startswith("pytest-"):
            path.chmod(0o755)
    for parent, names, files in os.walk(directory):
        for name in (".", *names, *files):
            os.chown(os.path.join(parent, name), 65534, 65534)
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            action()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
