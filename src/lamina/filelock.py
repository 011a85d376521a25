"""Locks between processes and threads: ``flock`` on small files.

A ``flock`` belongs to an open file description: the kernel gives it up when the last descriptor of it is closed,
however its owner dies, and a forked child that keeps the descriptor keeps the lock.
"""

from __future__ import annotations

import fcntl
import os


class FileLock:
    """A lock on one file, for owners that outlive a block or a thread; the file is removed by its last owner.

    :ivar descriptor: the open file description that holds the lock; a child that inherits it shares the lock.
    """

    __slots__ = ("descriptor", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self.descriptor = -1

    def acquire(self, *, shared: bool = False, wait: bool = True) -> bool:
        """Take the lock, or change the kind of the one that is held; ``False`` when another has it and ``wait`` is off.

        Changing the kind is not atomic: another may have had the lock in between.
        """
        operation = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
        while True:
            descriptor = self.descriptor if self.descriptor >= 0 else open_lock(self.path)
            try:
                fcntl.flock(descriptor, operation)
            except BaseException as error:
                os.close(descriptor)
                self.descriptor = -1
                if isinstance(error, BlockingIOError):
                    return False
                raise
            self.descriptor = descriptor
            if is_same_file(descriptor, self.path):
                return True
            self.release(remove=False)  # its last owner removed it before this one got it

    def release(self, *, remove: bool = True) -> None:
        """Give the lock up; idempotent. The file goes too when nobody else has it."""
        if self.descriptor < 0:
            return
        if remove:
            try:
                fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if is_same_file(self.descriptor, self.path):
                    os.unlink(self.path)
            except OSError:
                pass  # another owner has it and will remove it
        os.close(self.descriptor)
        self.descriptor = -1


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
