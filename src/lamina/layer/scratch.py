"""What may lie about at the top of a data root: trials of overlayfs, and temporary files."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator

from lamina.functools import partial
from lamina.graphdriver.choice import PROBE_PREFIX
from lamina.graphdriver.removal import remove_tree
from lamina.layer.database import list_directory
from lamina.layer.finding import ORPHAN, Suspect
from lamina.layer.sizes import size_of
from lamina.layer.workshop import Workshop

#: A trial takes milliseconds, and who needs a file in ``tmp`` for longer than this writes to it or has a lock on it.
_SECONDS = 60.0


def scratch(workshop: Workshop) -> Iterator[Suspect]:
    """Leftovers of any engine; a dockerd clears ``tmp`` when it starts, so what a running one has there is its own."""
    root = workshop.root
    for name in sorted(list_directory(root.path)):
        path = root.sub(name)
        if name.startswith(PROBE_PREFIX) and _is_old(path):
            what = "left by a trial whether overlayfs works here"
            yield Suspect(ORPHAN, path, what, partial(remove_tree, path), size_of(path))
    if root.read_only:
        return
    for directory in ("tmp", "tmp-old"):
        for name in sorted(list_directory(root.sub(directory))):
            path = root.sub(directory, name)
            if _is_old(path) and not _is_in_use(path):
                yield Suspect(
                    ORPHAN, path, "left by an interrupted operation", partial(remove_tree, path), size_of(path)
                )


def _is_old(path: str) -> bool:
    try:
        return time.time() - os.lstat(path).st_mtime > _SECONDS
    except FileNotFoundError:
        return False


def _is_in_use(path: str) -> bool:
    """Whether somebody holds a lock on it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False  # neither file nor directory
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
