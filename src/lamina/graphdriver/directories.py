"""What every driver does with a layer's directory: make it, lock it, take what is mounted on it away."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator

from lamina.contextlib import contextmanager, suppress
from lamina.graphdriver.failure import DriverFailure, LayerMissing, translated


def missing(id: str, home: str) -> LayerMissing:
    """What to raise about a layer that is not in the driver's directory ``home``."""
    return LayerMissing(f"layer {id} does not exist in {home}")


def make_directory(path: str, mode: int) -> None:
    """``mkdir`` with exactly ``mode``, whatever the umask."""
    os.mkdir(path, mode)
    os.chmod(path, mode)


def ensure_directory(path: str, mode: int) -> None:
    """The same, unless there is one."""
    with suppress(FileExistsError):
        make_directory(path, mode)


@contextmanager
def locked(id: str, home: str, directory: str) -> Iterator[str]:
    """The layer's ``directory``, locked between threads and processes by ``flock`` on it: a crash lets go of it.

    Raises ``LayerMissing``, also when it was removed while waiting.
    """
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise missing(id, home) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if not os.path.isdir(directory):
            raise missing(id, home)
        yield directory
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # a child forked meanwhile must not keep it
        os.close(descriptor)


def detach(point: str) -> None:
    """Unmount whatever is at ``point``, however often, and remove it; lazily, as Docker does.

    Removing the directory takes the mount away in other mount namespaces too.
    """
    from lamina.linux import mount  # layers are made without

    while mount.is_mount_point(point):
        try:
            mount.unmount(point, lazy=True)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            break
    try:
        os.rmdir(point)
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:
            raise DriverFailure(f"mount point {point} could not be removed: {error}") from error


def backing_file_system(home: str) -> str:
    """The name of the file system that ``home`` is on, or will be."""
    from lamina.linux import files

    return files.file_system_name(home if os.path.isdir(home) else os.path.dirname(home))


def synchronize(home: str) -> None:
    """Have every layer below ``home`` on disk."""
    from lamina.linux import files

    if os.path.isdir(home):
        with translated("the layers could not be written to disk"):
            files.syncfs(home)
