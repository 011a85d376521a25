"""The ``-init`` layer: mount points and files that a container needs and its image should not have.

It lies between the image and the writable layer, so that ``diff`` and ``commit`` do not see what is in it. The list
is Docker 20.10's. A name on the way that is no directory (an image whose ``/etc`` or ``/dev`` is a link) is replaced by
one: nothing that is made here can land outside.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from lamina.functools import cache, partial
from lamina.owners import Owners

_DIRECTORIES = ("dev/pts", "dev/shm", "proc", "sys")
_FILES = (".dockerenv", "etc/resolv.conf", "etc/hosts", "etc/hostname", "dev/console")
_LINKS = (("etc/mtab", "/proc/mounts"),)
_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

_Make = Callable[[int, str], None]
#: Who owns what is made; ``None`` for this process's user.
_Owner = tuple[int, int] | None


def initialise(path: str, owner: _Owner = None) -> None:
    """Fill the mounted ``-init`` layer at host path ``path``.

    :param owner: of what is made, where that is not this process's user.
    """
    root = os.open(path, _OPEN_DIRECTORY)
    try:
        for name in _DIRECTORIES:
            os.close(_directory(root, name.split("/"), owner))
        for name in _FILES:
            _in_parent(root, name, _file, owner)
        for name, target in _LINKS:
            _in_parent(root, name, _linker(target), owner)
    finally:
        os.close(root)


@cache
def initialiser(owners: Owners) -> Callable[[str], None]:
    """:func:`initialise` for containers of these owners; the same object for the same."""
    return partial(initialise, owner=owners.root) if owners.are_mapped else initialise


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
