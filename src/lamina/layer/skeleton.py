"""Making the names of a :class:`Skeleton` in a tree that was mounted.

A name on the way that is no directory (an image whose ``/etc`` or ``/dev`` is a link) is replaced by one: nothing that
is made here can land outside.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from lamina.graphdriver.contract import Skeleton

_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

_Make = Callable[[int, str], None]
#: Who owns what is made; ``None`` for this process's user.
_Owner = tuple[int, int] | None


def make(skeleton: Skeleton, path: str) -> None:
    """Make it in the mounted tree at the host path ``path``. Raises :class:`OSError`."""
    root = os.open(path, _OPEN_DIRECTORY)
    try:
        for name in skeleton.directories:
            os.close(_directory(root, name.split("/"), skeleton.owner))
        for name in skeleton.files:
            _in_parent(root, name, _file, skeleton.owner)
        for name, target in skeleton.links:
            _in_parent(root, name, _linker(target), skeleton.owner)
    finally:
        os.close(root)


def _directory(root: int, parts: list[str], owner: _Owner) -> int:
    """Descriptor of the directory ``parts``; whatever else has one of the names is removed first."""
    current = os.dup(root)
    for part in parts:
        try:
            below = _open_or_make(current, part, owner)
        finally:
            os.close(current)
        current = below
    return current


def _open_or_make(directory: int, name: str, owner: _Owner) -> int:
    try:
        return os.open(name, _OPEN_DIRECTORY, dir_fd=directory)
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
        os.unlink(name, dir_fd=directory)
    os.mkdir(name, 0o755, dir_fd=directory)
    os.chmod(name, 0o755, dir_fd=directory)  # whatever the umask
    _give(directory, name, owner)
    return os.open(name, _OPEN_DIRECTORY, dir_fd=directory)


def _give(directory: int, name: str, owner: _Owner) -> None:
    if owner is not None:
        os.chown(name, *owner, dir_fd=directory, follow_symlinks=False)


def _in_parent(root: int, name: str, make: _Make, owner: _Owner) -> None:
    *parents, last = name.split("/")
    parent = _directory(root, parents, owner)
    try:
        make(parent, last)
        _give(parent, last, owner)
    finally:
        os.close(parent)


def _file(parent: int, name: str) -> None:
    """An empty file for a mount to hide; an existing directory is left, as Docker leaves it."""
    _unlink(parent, name)
    try:
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o755, dir_fd=parent))
    except FileExistsError:
        return


def _linker(target: str) -> _Make:
    def make(parent: int, name: str) -> None:
        _unlink(parent, name)
        try:
            os.symlink(target, name, dir_fd=parent)
        except FileExistsError:
            return

    return make


def _unlink(parent: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno not in (errno.EISDIR, errno.EPERM):
            raise
