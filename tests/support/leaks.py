"""What a test left behind: mounts and processes."""

from __future__ import annotations

import os
import signal
import time
import uuid

from support.mounts import mounts_below, unmount_all

_MARK_NAME = "LAMINA_TEST_SESSION"


def mark_session() -> None:
    """Give this process a mark that every process started from it inherits."""
    os.environ[_MARK_NAME] = uuid.uuid4().hex


def marked_processes() -> dict[int, str]:
    """Live processes that carry this session's mark, this one excepted: pid to command line."""
    mark = f"{_MARK_NAME}={os.environ[_MARK_NAME]}".encode()
    found = {}
    for name in os.listdir("/proc"):
        if name.isdecimal() and int(name) != os.getpid():
            try:
                with open(f"/proc/{name}/environ", "rb") as environment:
                    carries = mark in environment.read().split(b"\0")
                with open(f"/proc/{name}/cmdline", "rb") as command:
                    line = command.read().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue  # it ended, or belongs to another user
            if carries and line:  # a zombie has neither
                found[int(name)] = line
    return found


class LeakCheck:
    """Compares now with when it was made; a short wait lets what is on its way out go."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._mounts = set(mounts_below(directory))
        self._processes = set(marked_processes())

    def leftovers(self, seconds: float = 5) -> list[str]:
        """One line for each mount and process that is new; they are unmounted and killed on the way."""
        deadline = time.monotonic() + seconds
        while (left := self._new()) != ([], {}) and time.monotonic() < deadline:
            time.sleep(0.05)
        mounts, processes = left
        for pid in processes:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        for point in mounts:
            unmount_all(point)
        return [f"mount {point}" for point in mounts] + [f"process {pid}: {line}" for pid, line in processes.items()]

    def _new(self) -> tuple[list[str], dict[int, str]]:
        mounts = [point for point in mounts_below(self._directory) if point not in self._mounts]
        return mounts, {pid: line for pid, line in marked_processes().items() if pid not in self._processes}
