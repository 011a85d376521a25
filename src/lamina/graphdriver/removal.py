"""Deleting trees that images and containers made: of any depth, with any names and modes, never through a mount.

One descriptor is open at a time and no path is longer than a name, so neither a tree 5,000 directories deep nor a
name that was swapped for a link leads astray.
"""

from __future__ import annotations

import errno
import os

#: How often a directory is listed again that others keep filling.
_ROUNDS = 16

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW


class _Level:
    """A directory on the way down: its name in the parent, its identity, the subdirectories still to do."""

    __slots__ = ("identity", "name", "rounds", "todo")

    def __init__(self, name: str, identity: tuple[int, int], todo: list[str]) -> None:
        self.name = name
        self.identity = identity
        self.todo = todo
        self.rounds = 1


def remove_tree(path: str) -> None:
    """Delete ``path`` and everything in it. Idempotent: an absent path is no error.

    What is mounted below is unmounted first, lazily; what is mounted meanwhile stops the removal (``EXDEV``) rather
    than being emptied: it may be a user's own directory. Raises :class:`OSError`; what is left can be removed again.
    """
    from lamina.linux import mount  # much is loaded of this package that removes nothing

    for point in mount.mount_points(path):
        _unmount(point)
    directory, name = os.path.split(path)
    try:
        parent = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        _remove_entry(parent, name)
    finally:
        os.close(parent)


def _unmount(point: str) -> None:
    from lamina.linux import mount

    try:
        mount.unmount(point, lazy=True)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOENT):  # somebody else was faster
            raise


def _remove_entry(parent: int, name: str) -> None:
    try:
        descriptor = _enter(parent, name)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
        os.unlink(name, dir_fd=parent)
        return
    descriptor = _remove_contents(descriptor)
    os.close(descriptor)
    os.rmdir(name, dir_fd=parent)


def _enter(parent: int, name: str) -> int:
    """Open a subdirectory that is on the same mount, whatever its mode."""
    from lamina.linux.openat2 import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV, openat2

    try:
        return openat2(parent, name, _DIRECTORY, resolve=RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV)
    except PermissionError:
        os.chmod(name, 0o700, dir_fd=parent)  # not root: an image's directory may forbid its owner to look
        return openat2(parent, name, _DIRECTORY, resolve=RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV)


def _remove_contents(descriptor: int) -> int:
    """Empty the directory; takes ``descriptor`` over and returns one for the same directory."""
    levels = [_Level("", _identity(descriptor), _clear(descriptor))]
    try:
        while True:
            level = levels[-1]
            if level.todo:
                name = level.todo.pop()
                child = _enter(descriptor, name)
                os.close(descriptor)
                descriptor = child
                levels.append(_Level(name, _identity(descriptor), _clear(descriptor)))
            elif len(levels) == 1:
                return descriptor
            else:
                descriptor = _leave(descriptor, levels)
    except BaseException:
        os.close(descriptor)
        raise


def _leave(descriptor: int, levels: list[_Level]) -> int:
    """Go up from an emptied directory and delete it, or list it again when something new appeared."""
    level = levels[-1]
    parent = os.open("..", _DIRECTORY, dir_fd=descriptor)
    try:
        if _identity(parent) != levels[-2].identity:
            raise OSError(errno.ESTALE, "directory was moved while it was being deleted", level.name)
        try:
            os.rmdir(level.name, dir_fd=parent)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or level.rounds == _ROUNDS:
                raise
            level.rounds += 1
            level.todo = _clear(descriptor)
            os.close(parent)
            return descriptor
    except BaseException:
        os.close(parent)
        raise
    levels.pop()
    os.close(descriptor)
    return parent


def _identity(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino


def _clear(descriptor: int) -> list[str]:
    """Unlink everything in the directory that is no directory; the names of those that are."""
    directories = []
    writable = False
    with os.scandir(descriptor) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                directories.append(entry.name)
                continue
            try:
                os.unlink(entry.name, dir_fd=descriptor)
            except PermissionError:
                if writable:
                    raise
                os.fchmod(descriptor, 0o700)
                writable = True
                os.unlink(entry.name, dir_fd=descriptor)
    if directories and not writable and not os.access(".", os.W_OK | os.X_OK, dir_fd=descriptor):
        os.fchmod(descriptor, 0o700)
    return directories
