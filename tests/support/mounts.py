"""Mounts below a directory, and a small file system of one's own."""

from __future__ import annotations

import codecs
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager


def mounts_below(directory: str) -> list[str]:
    """Mount points at or below ``directory``, the last mounted first (the order in which they can be unmounted)."""
    prefix = os.path.realpath(directory)
    with open("/proc/self/mountinfo", "rb") as table:
        points = [os.fsdecode(codecs.escape_decode(line.split(b" ")[4])[0]) for line in table]
    return [point for point in reversed(points) if point == prefix or point.startswith(prefix + "/")]


def unmount_all(directory: str) -> list[str]:
    """Unmount everything at or below ``directory``; what was mounted."""
    points = mounts_below(directory)
    for point in points:
        subprocess.run(["umount", "--lazy", point], check=False, capture_output=True)
    return points


@contextmanager
def loop_file_system(directory: str, megabytes: int, *, inodes: int | None = None) -> Iterator[str]:
    """An ext4 file system of ``megabytes`` MB in a file, mounted at ``<directory>/small``, where it can get full.

    No blocks are reserved for root, so that "full" means the same for every user. Needs root.
    """
    image, point = os.path.join(directory, "small.ext4"), os.path.join(directory, "small")
    with open(image, "wb") as file:
        file.truncate(megabytes << 20)
    options = ["-N", str(inodes)] if inodes else []
    subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", *options, image], check=True, capture_output=True)
    os.mkdir(point)
    subprocess.run(["mount", "-o", "loop", image, point], check=True)
    try:
        yield point
    finally:
        for inner in mounts_below(point)[:-1]:
            subprocess.run(["umount", inner], check=False)
        _unmount_patiently(point)
        os.unlink(image)


def _unmount_patiently(point: str) -> None:
    for _ in range(50):
        if subprocess.run(["umount", point], check=False, capture_output=True).returncode == 0:
            return
        time.sleep(0.1)  # a process that the test killed may not have closed its files yet
    subprocess.run(["umount", point], check=True)


@contextmanager
def memory_file_system(directory: str) -> Iterator[str]:
    """A tmpfs on ``directory``: what is synced there costs nothing. Needs root."""
    os.makedirs(directory, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", directory], check=True)
    try:
        yield directory
    finally:
        for point in mounts_below(directory):
            if point != directory:
                subprocess.run(["umount", "-l", point], check=False)
        _unmount_patiently(directory)
