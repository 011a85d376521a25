"""Stacks of layers on a graph driver, and what a merged tree looks like."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from lamina.graphdriver.contract import GraphDriver


class Entry(NamedTuple):
    """One name in a tree: everything that a layer must preserve about it."""

    kind: int
    mode: int
    owner: tuple[int, int]
    content: bytes
    links: int
    attributes: tuple[tuple[str, bytes], ...]


def describe(path: str) -> Entry:
    """The entry at ``path``; link counts of directories are the file system's own and read as 0."""
    status = os.lstat(path)
    kind = stat.S_IFMT(status.st_mode)
    if kind == stat.S_IFREG:
        with open(path, "rb") as file:
            content = file.read()
    elif kind == stat.S_IFLNK:
        content = os.fsencode(os.readlink(path))
    elif kind in (stat.S_IFCHR, stat.S_IFBLK):
        content = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}".encode()
    else:
        content = b""
    names = [name for name in os.listxattr(path, follow_symlinks=False) if not name.startswith("trusted.overlay.")]
    attributes = tuple((name, os.getxattr(path, name, follow_symlinks=False)) for name in sorted(names))
    links = 0 if kind == stat.S_IFDIR else status.st_nlink
    return Entry(kind, stat.S_IMODE(status.st_mode), (status.st_uid, status.st_gid), content, links, attributes)


def snapshot(root: str) -> dict[str, Entry]:
    """Every entry below ``root`` by relative path."""
    found = {}
    for directory, directories, files in os.walk(root):
        for name in directories + files:
            path = os.path.join(directory, name)
            found[os.path.relpath(path, root)] = describe(path)
    return found


def write(path: str, content: str = "", mode: int = 0o644) -> None:
    """Make or replace a file's content."""
    with open(path, "w") as file:
        file.write(content)
    os.chmod(path, mode)


def read(path: str) -> str:
    with open(path) as file:
        return file.read()


class Stacks:
    """Makes layers as a container would: mounted, changed, unmounted, then built upon."""

    def __init__(self, driver: GraphDriver) -> None:
        self.driver = driver
        self._number = 0

    def new_id(self) -> str:
        self._number += 1
        return f"{self._number:064x}"

    def layer(self, parent: str | None, *changes: Callable[[str], Any]) -> str:
        """A layer on ``parent`` in which ``changes`` were made, each called with the merged directory."""
        layer = self.new_id()
        self.driver.create(layer, parent)
        with self.mounted(layer) as root:
            for change in changes:
                change(root)
        return layer

    @contextmanager
    def mounted(self, layer: str, **options: Any) -> Iterator[str]:
        """The merged directory of ``layer``."""
        root = self.driver.mount(layer, **options)
        try:
            yield root
        finally:
            self.driver.unmount(layer)

    @contextmanager
    def container(self, image: str | None, **options: Any) -> Iterator[str]:
        """The merged directory of a throw-away writable layer on ``image``."""
        layer = self.new_id()
        self.driver.create_read_write(layer, image)
        try:
            with self.mounted(layer, **options) as root:
                yield root
        finally:
            self.driver.remove(layer)

    def tree(self, layer: str) -> dict[str, Entry]:
        """What the stack that ends with ``layer`` shows."""
        with self.mounted(layer, read_only=True) as root:
            return snapshot(root)
