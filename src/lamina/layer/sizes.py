"""How many bytes something on disk takes, as Docker counts."""

from __future__ import annotations

import os
import stat


def directory_size(path: str) -> int:
    """Bytes of all that is not a directory below ``path``, each inode once. What vanishes meanwhile does not count."""
    seen: set[int] = set()
    size = 0
    for directory, _, _, descriptor in os.fwalk(path):
        del directory
        for entry in os.scandir(descriptor):
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if stat.S_ISDIR(status.st_mode) or not status.st_size:
                continue
            if status.st_nlink > 1:
                if status.st_ino in seen:
                    continue
                seen.add(status.st_ino)
            size += status.st_size
    return size


def size_of(path: str) -> int:
    """:func:`directory_size`, or bytes of what is no directory; 0 for what is not there.

    For a person: what its depth keeps from being reached does not count either.
    """
    try:
        status = os.lstat(path)
        return directory_size(path) if stat.S_ISDIR(status.st_mode) else status.st_size
    except OSError:
        return 0
