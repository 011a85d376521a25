"""Locks between processes and threads: ``flock`` on small files.

A ``flock`` belongs to an open file description: the kernel gives it up when the last descriptor of it is closed,
however its owner dies, and a forked child that keeps the descriptor keeps the lock.
"""

from __future__ import annotations

import fcntl
import os

from lamina.contextlib import suppress


class FileLock:
    """A lock on one file, for owners that outlive a block or a thread; whoever gives it up removes the file.

    :ivar descriptor: the open file description that holds the lock; a child that inherits it shares the lock.
    """

    __slots__ = ("descriptor", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self.descriptor = -1

    def acquire(self, *, wait: bool = True) -> bool:
        """Take the lock, which is exclusive; ``False`` when another has it and ``wait`` is off."""
        operation = fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB)
        while True:
            descriptor = open_lock(self.path)
            try:
                fcntl.flock(descriptor, operation)
            except BlockingIOError:
                os.close(descriptor)
                return False
            except BaseException:
                os.close(descriptor)
                raise
            if is_same_file(descriptor, self.path):
                self.descriptor = descriptor
                return True
            os.close(descriptor)  # its last owner removed it before this one got it

    def release(self, *, remove: bool = True) -> None:
        """Give the lock up, and remove the file unless told not to. Idempotent."""
        if self.descriptor < 0:
            return
        if remove:
            with suppress(OSError):  # a leftover lock file means nothing
                os.unlink(self.path)
        os.close(self.descriptor)
        self.descriptor = -1


def lock_directory(path: str, *, shared: bool = False, wait: bool = True) -> int | None:
    """A descriptor that holds a lock on the directory ``path`` itself; close it to give the lock up.

    ``None`` when another has the lock and ``wait`` is off. Raises ``FileNotFoundError`` when there is no such
    directory, or none any more after the wait.
    """
    operation = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
    while True:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, operation)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        if is_same_file(descriptor, path):
            return descriptor
        os.close(descriptor)  # it was moved away, and maybe another has its name


def open_lock(path: str) -> int:
    """A descriptor of the lock file ``path``, made when absent, its directory too."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(path, flags, 0o600)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        return os.open(path, flags, 0o600)


def is_same_file(descriptor: int, path: str) -> bool:
    """Whether ``path`` still names the file that ``descriptor`` is open on."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False
