"""Directories of a tree that is being extracted: the one that entries go to, opened without leaving the root.

Nothing here trusts a path: the kernel resolves it with the layer's directory as root (``openat2``,
``RESOLVE_IN_ROOT``), so a symbolic link of the image leads where it would lead in a container, and never out.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from lamina.linux.openat2 import open_in_root

#: Descriptors kept open. An archive comes back to a directory after its subdirectories.
_KEPT = 64

_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


class Place:
    """Opens directories below ``root``, creating those that an archive does not mention, and keeps some open.

    :param root: descriptor of the tree's root; the caller keeps and closes it.
    :param created: told the path of every directory that is created because an entry needs it.
    :param owner: of these directories, where it is not this process's.
    """

    def __init__(self, root: int, created: Callable[[bytes], None], owner: tuple[int, int] | None = None) -> None:
        self._root = root
        self._created = created
        self._owner = owner
        self._open: dict[bytes, tuple[int, bool]] = {}

    def directory(self, path: bytes, *, create: bool = True) -> tuple[int, bool]:
        """An ``O_PATH`` descriptor for the directory ``path``, and whether it is set-group-id.

        It stays open for at least the next few calls. ``path`` is clean (:func:`lamina.layer.entry.clean`).
        Raises :class:`OSError`.
        """
        found = self._open.pop(path, None)
        if found is None:
            descriptor = self._open_directory(path, create)
            if len(self._open) >= _KEPT:
                os.close(self._open.pop(next(iter(self._open)))[0])
            found = descriptor, bool(os.fstat(descriptor).st_mode & stat.S_ISGID)
        self._open[path] = found  # the least recently used one comes first
        return found

    def forget(self) -> None:
        """Close everything: a directory was removed or replaced, or changed its mode."""
        for descriptor, _ in self._open.values():
            os.close(descriptor)
        self._open.clear()

    def _open_directory(self, path: bytes, create: bool) -> int:
        try:
            return open_in_root(self._root, path or b".", _DIRECTORY)
        except FileNotFoundError:
            if not create:
                raise
        self._create(path)
        return open_in_root(self._root, path, _DIRECTORY)

    def _create(self, path: bytes) -> None:
        """Make the missing directories on the way to ``path``; one by one, so that links on the way are followed."""
        position = 0
        while position < len(path):
            end = path.find(b"/", position)
            end = len(path) if end < 0 else end
            parent = open_in_root(self._root, path[: max(position - 1, 0)] or b".", _DIRECTORY)
            try:
                os.mkdir(path[position:end], 0o755, dir_fd=parent)
            except FileExistsError:
                pass
            else:
                if self._owner is not None:
                    os.chown(path[position:end], *self._owner, dir_fd=parent, follow_symlinks=False)
                self._created(path[:end])
            finally:
                os.close(parent)
            position = end + 1


def remove(parent: int, base: bytes, status: os.stat_result) -> bool:
    """Delete ``base`` in the directory ``parent`` with everything below it; whether a file with content was among it.

    No link is followed; depth costs one descriptor at a time, not one per level.
    """
    if not stat.S_ISDIR(status.st_mode):
        os.unlink(base, dir_fd=parent)
        return stat.S_ISREG(status.st_mode) and status.st_size > 0
    lost = False
    descriptor = os.open(base, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    stack = [(base, [os.fsencode(name) for name in os.listdir(descriptor)])]
    try:
        while stack:
            names = stack[-1][1]
            if names:
                descriptor, deeper, had = _remove_one(descriptor, names.pop())
                lost |= had
                if deeper is not None:
                    stack.append(deeper)
                continue
            name = stack.pop()[0]
            above = os.open("..", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=descriptor) if stack else -1
            os.close(descriptor)
            descriptor = above
            os.rmdir(name, dir_fd=descriptor if stack else parent)
    finally:
        if descriptor >= 0:
            os.close(descriptor)
    return lost


def _remove_one(directory: int, name: bytes) -> tuple[int, tuple[bytes, list[bytes]] | None, bool]:
    """Delete a file, or go down into a directory: its descriptor replaces ``directory``'s, which is closed."""
    status = os.stat(name, dir_fd=directory, follow_symlinks=False)
    if not stat.S_ISDIR(status.st_mode):
        os.unlink(name, dir_fd=directory)
        return directory, None, stat.S_ISREG(status.st_mode) and status.st_size > 0
    inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    os.close(directory)
    return inner, (name, [os.fsencode(child) for child in os.listdir(inner)]), False
