"""A place where nothing is but what this program starts: namespaces of its own for processes, mounts, networks.

The data root is on the machine's disk; ``/tmp``, ``/run`` and ``/dev/shm`` are empty file systems, so that whatever is
left there is known to come from here. When the place's first process ends, the kernel ends all the others.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence

from lamina.linux import mount
from lamina.linux.netlink import Rtnetlink

_MARK = "LAMINA_ENDURANCE"
_LOOPBACK = 1
#: Places for what does not last. Each is empty at first.
PASSING = ("/tmp", "/run", "/dev/shm")


def is_inside() -> bool:
    """Whether this process is there."""
    return _MARK in os.environ


def enter(arguments: Sequence[str], work: str) -> int:
    """Run this Python there with ``arguments``; its exit code. ``work`` is a directory for it, removed at the end."""
    unshare = ["unshare", "--mount", "--propagation", "private", "--net", "--ipc", "--uts"]
    unshare += ["--pid", "--fork", "--kill-child", "--mount-proc"]
    os.makedirs(work, mode=0o700)
    try:
        first = [sys.executable, "-m", "endurance.place", *arguments]
        return subprocess.run([*unshare, "--", *first], env={**os.environ, _MARK: "1"}, check=False).returncode
    finally:  # its mounts have gone with the place
        shutil.rmtree(work)


def reap_all_but(arguments: Sequence[str]) -> int:
    """Be the first process, which inherits orphans: run Python with ``arguments``, its exit code."""
    worker = subprocess.Popen([sys.executable, *arguments])
    while True:
        pid, status = os.wait()
        if pid == worker.pid:
            return os.waitstatus_to_exitcode(status)


def arrange(work: str) -> None:
    """Make the loopback interface and the empty file systems."""
    with Rtnetlink() as links:
        links.set_up(_LOOPBACK)
    project = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    kept = [project, sys.prefix, os.path.dirname(os.path.realpath("/etc/resolv.conf")), work]
    for point in PASSING:
        _empty(point, [path for path in kept if path.startswith(f"{point}/")])


def _empty(point: str, kept: list[str]) -> None:
    """Mount an empty file system on ``point`` in which the directories ``kept`` stay where they are."""
    trees = [(path, mount.open_tree(path, recursive=True)) for path in kept if os.path.isdir(path)]
    mode = os.stat(point).st_mode & 0o7777
    mount.mount("tmpfs", point, "tmpfs", 0, f"mode={mode:o}")
    for path, tree in trees:
        os.makedirs(path, exist_ok=True)
        mount.move_mount(tree, path)
        os.close(tree)


if __name__ == "__main__":
    sys.exit(reap_all_but(sys.argv[1:]))
