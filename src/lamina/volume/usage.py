"""How much a volume holds."""

from __future__ import annotations

import os


def disk_usage(path: str) -> int:
    """Bytes of the files below ``path``, each hard-linked file once. What vanishes meanwhile counts nothing."""
    total = 0
    seen: set[tuple[int, int]] = set()
    open_directories = [path]
    while open_directories:
        try:
            entries = list(os.scandir(open_directories.pop()))
        except OSError:
            continue
        for entry in entries:
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if entry.is_dir(follow_symlinks=False):
                open_directories.append(entry.path)
            elif status.st_nlink == 1 or (status.st_dev, status.st_ino) not in seen:
                seen.add((status.st_dev, status.st_ino))
                total += status.st_size
    return total
