"""``lamina/run/<container id>``: what exists only while a container runs.

::

    monitor       held (flock) by the monitor for its life; then holds the exit code
    failure       why the monitor ended early, one line; absent unless it did
    attach        socket of the monitor's, on which clients come
    cancelled     there once somebody has stopped the container: it is not started again
    connecting    there while somebody changes its networks
    config.json   the bundle: runtime-spec document
    pid log state what the runtime keeps

The lock tells whether the monitor lives, with no pid that could have been given to somebody else. A process that waits
has the file open already, so it can read the exit code even when the container has been removed by then.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Iterator

from lamina.container import frames
from lamina.contextlib import contextmanager, suppress
from lamina.graphdriver.removal import remove_tree

_LOCK = "monitor"
_FAILURE = "failure"
_STATE = "state"
_CANCELLED = "cancelled"
_CONNECTING = "connecting"
_NULL = "null"
_FAILURE_LIMIT = 4096
_POLL_LONGEST = 0.02


class RunDirectory:
    """The run directory of one container, whether it exists or not."""

    __slots__ = ("path",)

    def __init__(self, path: str) -> None:
        self.path = path

    def claim(self) -> int:
        """Make the directory afresh; a descriptor that holds the lock, which the monitor keeps.

        The caller has found :meth:`alive` false and holds the container's lock.
        """
        self.remove()
        os.makedirs(self.path, 0o700)
        descriptor = os.open(os.path.join(self.path, _LOCK), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return descriptor

    def sub(self, name: str) -> str:
        return os.path.join(self.path, name)

    def make_null_device(self) -> bool:
        """Make a null device of the container's own; ``False`` where this process, or this file system, has no devices.

        crun makes a container's user the owner of its streams (``fchown``). Of the host's ``/dev/null`` that must not
        be so: an owner can take everybody's right to use it away. Idempotent.
        """
        path = self.sub(_NULL)
        try:
            with suppress(FileExistsError):
                os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
            os.chmod(path, 0o666)
            os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))
        except PermissionError:  # in a user namespace, where nobody can give the host's away either, or mounted nodev
            with suppress(FileNotFoundError):
                os.unlink(path)
            return False
        return True

    @property
    def null_device(self) -> str:
        """Path of what a container reads from and writes to that has no streams: its own device, or the host's."""
        own = self.sub(_NULL)
        return own if os.path.exists(own) else os.devnull

    def exists(self) -> bool:
        return os.path.exists(self.path)

    def alive(self) -> bool:
        """Whether a monitor holds the lock."""
        try:
            descriptor = self._open()
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def wait(self, timeout: float | None = None) -> tuple[bool, int | None]:
        """Wait for the monitor's end: whether it ended in time, and the exit code that it left.

        The code is ``None`` when no monitor was there or it died without one.
        """
        try:
            descriptor = self._open()
        except FileNotFoundError:
            return True, None
        try:
            if not _lock_shared(descriptor, timeout):
                return False, None
            text = os.pread(descriptor, 16, 0)
            return True, int(text) if text else None
        finally:
            os.close(descriptor)

    def cancel(self) -> None:
        """Note that the container is not to be started again, and wake a monitor that waits for its time. Idempotent.

        The caller holds the container's lock.
        """
        with suppress(FileNotFoundError):
            os.close(os.open(self.sub(_CANCELLED), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        with suppress(OSError):
            connection = frames.connect(self.path)
            try:
                os.write(connection, frames.CANCEL)
            finally:
                os.close(connection)

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return os.path.exists(self.sub(_CANCELLED))

    @contextmanager
    def connecting(self) -> Iterator[None]:
        """Note that its networks are being changed: who comes after one that was killed looks after them.

        The caller holds the container's lock.
        """
        note = self.sub(_CONNECTING)
        with suppress(FileNotFoundError):  # it has just ended
            os.close(os.open(note, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        yield
        self.settled()

    def is_unsettled(self) -> bool:
        """Whether somebody changes its networks, or was killed meanwhile."""
        return os.path.exists(self.sub(_CONNECTING))

    def settled(self) -> None:
        """Nobody needs to look after its networks. Idempotent."""
        with suppress(FileNotFoundError):
            os.unlink(self.sub(_CONNECTING))

    def leave_failure(self, message: str) -> None:
        """Note why the monitor ends early, for :meth:`failure`. Raises :class:`OSError`."""
        with open(self.sub(_FAILURE), "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(message)

    def failure(self) -> str:
        """Why the monitor ended early; ``""`` when it did not say."""
        try:
            with open(self.sub(_FAILURE), encoding="utf-8", errors="replace") as file:
                return file.read(_FAILURE_LIMIT)
        except FileNotFoundError:
            return ""

    def forget_run(self) -> None:
        """Remove what the runtime kept of a run that has ended, before another one."""
        with suppress(OSError):
            remove_tree(self.sub(_STATE))

    def remove(self) -> None:
        """Idempotent."""
        if self.exists():
            with suppress(OSError):
                remove_tree(self.path)

    def _open(self) -> int:
        return os.open(os.path.join(self.path, _LOCK), os.O_RDONLY | os.O_CLOEXEC)


def leave_exit_code(descriptor: int, code: int) -> None:
    """Write the exit code for whoever waits; ``descriptor`` is what :meth:`RunDirectory.claim` gave."""
    os.pwrite(descriptor, str(code).encode(), 0)


def _lock_shared(descriptor: int, timeout: float | None) -> bool:
    if timeout is None:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        return True
    deadline = time.monotonic() + timeout
    pause = 0.001
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(pause, left))
            pause = min(pause * 2, _POLL_LONGEST)
        else:
            return True
