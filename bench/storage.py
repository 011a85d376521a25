"""File systems to measure on that nobody has used before."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def new_ext4(path: str) -> Iterator[None]:
    """A new ext4 in a file beside ``path``, mounted there.

    For a minute and more ext4 steps over inodes that were freed, one at a time, to find one that was not (its
    ``ialloc.c``, ``recently_deleted``), so that on a used one everybody pays for what others have removed.
    """
    image = f"{path}.ext4"
    with open(image, "wb") as file:
        file.truncate(4 << 30)
    try:
        subprocess.run(["mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", image], check=True)
        os.makedirs(path)
        subprocess.run(["mount", "-o", "loop", image, path], check=True)
        try:
            yield
        finally:
            subprocess.run(["umount", "-l", path], check=True)
            os.rmdir(path)
    finally:
        os.unlink(image)
