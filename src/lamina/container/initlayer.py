"""The ``-init`` layer: mount points and files that a container needs and its image should not have.

It lies between the image and the writable layer, so that ``diff`` and ``commit`` do not see what is in it. The list
is Docker 20.10's. A name on the way that is no directory (an image whose ``/etc`` or ``/dev`` is a link) is replaced by
one: nothing that is made here can land outside.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

_DIRECTORIES = ("dev/pts", "dev/shm", "proc", "sys")
_FILES = (".dockerenv", "etc/resolv.conf", "etc/hosts", "etc/hostname", "dev/console")
_LINKS = (("etc/mtab", "/proc/mounts"),)
_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

_Make = Callable[[int, str], None]


def initialise(path: str) -> None:
    """Fill the mounted ``-init`` layer at host path ``path``."""
    root = os.open(path, _OPEN_DIRECTORY)
    try:
        for name in _DIRECTORIES:
            os.close(_directory(root, name.split("/")))
        for name in _FILES:
            _in_parent(root, name, _file)
        for name, target in _LINKS:
            _in_parent(root, name, _linker(target))
    finally:
        os.close(root)


def _directory(root: int, parts: list[str]) -> int:
    """Descriptor of the directory ``parts``; whatever else has one of the names is removed first."""
    current = os.dup(root)
    for part in parts:
        try:
            below = _open_or_make(current, part)
        finally:
            os.close(current)
        current = below
    return current


def _open_or_make(directory: int, name: str) -> int:
    try:
        return os.open(name, _OPEN_DIRECTORY, dir_fd=directory)
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
        os.unlink(name, dir_fd=directory)
    os.mkdir(name, 0o755, dir_fd=directory)
    return os.open(name, _OPEN_DIRECTORY, dir_fd=directory)


def _in_parent(root: int, name: str, make: _Make) -> None:
    *parents, last = name.split("/")
    parent = _directory(root, parents)
    try:
        make(parent, last)
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
