"""The work directory: where things are made before they appear, and end before they are gone.

Everything in the upper directory appears by one ``rename``. What a crash leaves here means nothing and is removed when
the union is opened next. The kernel's overlayfs uses ``work`` in the same directory in the same way.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import stat
import time

from lamina.errors import Conflict, InvalidArgument
from lamina.unionfs.layer import ROOT, Layer
from lamina.unionfs.options import Dialect, MountOptions

#: Where the AUFS dialect works: a name that it hides by itself, so no directory beside ``upperdir`` is needed.
_AUFS_WORK = ".wh..wh.work"
#: How long a union that was just unmounted may take to let go, in seconds.
_PATIENCE = 1.0


class WorkDirectory:
    """An open, empty work directory that nobody else uses."""

    def __init__(self, options: MountOptions, upper: Layer) -> None:
        """Raises :class:`Conflict` when a union has it open and :class:`InvalidArgument` on another file system."""
        base = options.workdir
        if base is None:
            assert options.dialect is Dialect.AUFS
            base = os.path.join(upper.path, _AUFS_WORK)
            os.makedirs(base, 0o700, exist_ok=True)
        elif not os.path.isdir(base):
            raise InvalidArgument(f"workdir {base!r} is not a directory")
        if os.stat(base).st_dev != upper.device:
            raise InvalidArgument("workdir and upperdir must be on the same file system")
        self._base, self._upper = base, upper
        self._lock = _lock(upper, base)
        try:
            path = os.path.join(base, "work")
            os.makedirs(path, 0o700, exist_ok=True)
            if os.stat(path).st_mode & stat.S_IRWXU != stat.S_IRWXU:
                os.chmod(path, 0o700)  # the kernel leaves it without permissions, which only stop ordinary users
            self.layer = Layer(path, 0, same_mount=upper)
        except BaseException:
            os.close(self._lock)
            raise
        self.descriptor = self.layer.descriptor
        self.group = os.stat(self.descriptor).st_gid
        self._count = itertools.count()
        for name in os.listdir(self.layer.prefix):
            self.remove(name)

    def sibling(self, name: str) -> Layer:
        """A directory beside this one, made if it is missing."""
        path = os.path.join(self._base, name)
        os.makedirs(path, 0o700, exist_ok=True)
        return Layer(path, 0, same_mount=self._upper)

    def new_name(self) -> bytes:
        """A path inside that is free. Safe to call from any thread."""
        return b"./%x" % next(self._count)

    def remove(self, path: bytes) -> None:
        """Remove whatever is at ``path`` with everything below it, if there is something."""
        try:
            os.unlink(path, dir_fd=self.descriptor)
        except FileNotFoundError:
            return
        except (IsADirectoryError, PermissionError):  # the latter is POSIX's word for a directory
            remove_tree(self.descriptor, path)

    def close(self) -> None:
        """Idempotent."""
        self.layer.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _lock(upper: Layer, path: str) -> int:
    base = Layer(path, 0, same_mount=upper)
    try:
        descriptor = os.open(ROOT, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=base.descriptor)
    finally:
        base.close()
    give_up = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() < give_up:
                time.sleep(0.01)
                continue
            os.close(descriptor)
            raise Conflict(f"workdir {path!r} is in use by another union") from error
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor


def remove_tree(descriptor: int, path: bytes) -> None:
    """Remove the directory ``path`` and all below it without following links."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=descriptor)
    try:
        if os.fstat(directory).st_mode & stat.S_IRWXU != stat.S_IRWXU:
            os.fchmod(directory, 0o700)
        for name in os.listdir(directory):
            try:
                os.unlink(name, dir_fd=directory)
            except (IsADirectoryError, PermissionError):
                remove_tree(directory, os.fsencode(name))
    finally:
        os.close(directory)
    os.rmdir(path, dir_fd=descriptor)
