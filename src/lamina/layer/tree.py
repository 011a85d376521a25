"""Walking a layer's directory in an order that depends on names only, without following any link."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator

from lamina.linux.openat2 import open_beneath
from lamina.typing import NamedTuple

#: Directories on the way down that are kept open; others are opened again on the way back.
_KEPT = 64

_READ_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Node(NamedTuple):
    """One file. ``directory`` is a descriptor of the directory that holds it as ``name``, open until the next node."""

    path: bytes
    name: bytes
    directory: int
    status: os.stat_result


class _Level:
    __slots__ = ("descriptor", "names", "path")

    def __init__(self, path: bytes, descriptor: int, key: Callable[[bytes], bytes] | None) -> None:
        self.path = path
        self.descriptor = descriptor
        self.names = os.listdir(b"/proc/self/fd/%d" % descriptor)  # by a path, so that names are bytes
        self.names.sort(key=key, reverse=True)


def walk(root: int, *, key: Callable[[bytes], bytes] | None = None) -> Iterator[Node]:
    """Everything below the directory ``root``, a directory before its content, names in byte order.

    What vanishes meanwhile is left out: a container may be running in the tree.

    :param key: what to order a directory's names by instead.
    """
    levels = [_Level(b"", os.open(".", _READ_DIRECTORY, dir_fd=root), key)]
    try:
        while levels:
            level = levels[-1]
            if not level.names:
                _close(levels.pop())
                continue
            name = level.names.pop()
            if level.descriptor < 0:
                level.descriptor = open_beneath(root, level.path or b".", _READ_DIRECTORY)
            try:
                status = os.stat(name, dir_fd=level.descriptor, follow_symlinks=False)
            except FileNotFoundError:
                continue
            path = level.path + b"/" + name if level.path else name
            yield Node(path, name, level.descriptor, status)
            if stat.S_ISDIR(status.st_mode):
                try:
                    descriptor = os.open(name, _READ_DIRECTORY, dir_fd=level.descriptor)
                except (FileNotFoundError, NotADirectoryError):
                    continue
                if len(levels) >= _KEPT:
                    _close(levels[-_KEPT])
                levels.append(_Level(path, descriptor, key))
    finally:
        for level in levels:
            _close(level)


def _close(level: _Level) -> None:
    if level.descriptor >= 0:
        os.close(level.descriptor)
        level.descriptor = -1


def name_on_host(node: Node) -> bytes:
    """A path to the node for calls that take no directory descriptor; its last component must not be followed."""
    return b"/proc/self/fd/%d/%b" % (node.directory, node.name)


def xattrs(node: Node) -> dict[bytes, bytes]:
    """All extended attributes, by name in byte order. What the file system doesn't support is empty."""
    found: dict[bytes, bytes] = {}
    path = name_on_host(node)
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:  # EOPNOTSUPP, or the file has vanished
        return found
    for name in sorted(names):
        try:
            found[os.fsencode(name)] = os.getxattr(path, name, follow_symlinks=False)
        except OSError:
            continue
    return found
