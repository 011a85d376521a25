"""What ``docker diff`` lists: two trees compared by the rules of moby's ``pkg/archive`` (``changes.go``).

A name that is new is ``A``, one that is gone ``D``, one whose mode, owner, device, capability or (for what is no
directory) size or time differs ``C``; and so is every directory above a change. Nothing is listed below what was
added as something else or deleted.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence

from lamina.contextlib import ExitStack
from lamina.errors import Corrupt
from lamina.layer.below import Below, Entry, capability, is_opaque
from lamina.layer.contract import Change
from lamina.layer.tree import Node, name_on_host, walk
from lamina.unionfs import whiteout

_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


def overlay_changes(upper: str, lowers: Sequence[str]) -> list[Change]:
    """For an overlayfs upper directory: only what is in it is looked at, and the same names below.

    :param lowers: directories of the layers below, nearest first.
    """
    listing = Listing()
    with ExitStack() as stack:
        root, *layers = (_opened(directory, stack) for directory in (upper, *lowers))
        below = Below(layers)
        merged: dict[bytes, tuple[int, ...]] = {b"": below.all}
        for node in walk(root):
            _overlay_change(node, below, merged, listing)
    return listing.sorted()


def _overlay_change(node: Node, below: Below, merged: dict[bytes, tuple[int, ...]], listing: Listing) -> None:
    """Compare one name. ``merged`` has, for each directory so far, the layers that have it too."""
    old = below.entry(node.path, merged[node.path.rpartition(b"/")[0]])
    if whiteout.is_overlay_whiteout(node.status):
        if old is not None:
            listing.add(node.path, "D")
        return
    if old is None:
        listing.add(node.path, "A")
    elif differs(node.status, old.status) or capability(name_on_host(node), node.status) != old.capability:
        listing.add(node.path, "C")
    if stat.S_ISDIR(node.status.st_mode):
        merged[node.path] = old.layers if old is not None else ()
        if old is not None and old.layers and is_opaque(name_on_host(node)):
            _hidden(node, old, below, listing)


def _hidden(node: Node, old: Entry, below: Below, listing: Listing) -> None:
    """Names in a directory that was removed and made again, other than those that were made again too."""
    for name in below.names(node.path, old.layers):
        path = node.path + b"/" + name
        try:
            os.stat(name_on_host(node) + b"/" + name, follow_symlinks=False)
        except FileNotFoundError:
            if below.entry(path, old.layers) is not None:
                listing.add(path, "D")


def snapshot_changes(directory: str, parent: str | None) -> list[Change]:
    """For a tree that began as a copy of ``parent``; ``None`` for an empty one."""
    listing = Listing()
    with ExitStack() as stack:
        new = _opened(directory, stack)
        before: dict[bytes, tuple[os.stat_result, bytes]] = {}
        if parent is not None:
            before = {
                node.path: (node.status, capability(name_on_host(node), node.status))
                for node in walk(_opened(parent, stack))
            }
        for path in _deleted(before, _snapshot_change(walk(new), before, listing)):
            listing.add(path, "D")
    return listing.sorted()


def _snapshot_change(
    nodes: Iterator[Node], before: dict[bytes, tuple[os.stat_result, bytes]], listing: Listing
) -> set[bytes]:
    """Compare every name, taking it out of ``before``; paths of directories that are something else now."""
    no_directories: set[bytes] = set()
    for node in nodes:
        previous = before.pop(node.path, None)
        if previous is None:
            listing.add(node.path, "A")
            continue
        if stat.S_ISDIR(previous[0].st_mode) and not stat.S_ISDIR(node.status.st_mode):
            no_directories.add(node.path)
        if differs(node.status, previous[0]) or capability(name_on_host(node), node.status) != previous[1]:
            listing.add(node.path, "C")
    return no_directories


def _deleted(gone: dict[bytes, tuple[os.stat_result, bytes]], no_directories: set[bytes]) -> Iterator[bytes]:
    """The topmost of what is gone; ``gone`` has a directory before its content."""
    silent = set(no_directories)
    for path in gone:
        if path.rpartition(b"/")[0] not in silent:
            yield path
        silent.add(path)


class Listing:
    """Changes by path, with the directories above them."""

    def __init__(self) -> None:
        self._kinds: dict[bytes, str] = {}

    def add(self, path: bytes, kind: str) -> None:
        self._kinds.setdefault(path, kind)
        directory = path.rpartition(b"/")[0]
        while directory and directory not in self._kinds:
            self._kinds[directory] = "C"
            directory = directory.rpartition(b"/")[0]

    def sorted(self) -> list[Change]:
        return [Change(self._kinds[path], b"/" + path) for path in sorted(self._kinds)]


def differs(new: os.stat_result, old: os.stat_result) -> bool:
    """Inode, change time and block count are left out: they change when a tree is copied."""
    if (new.st_mode, new.st_uid, new.st_gid, new.st_rdev) != (old.st_mode, old.st_uid, old.st_gid, old.st_rdev):
        return True
    if stat.S_ISDIR(new.st_mode):
        return False
    return new.st_size != old.st_size or not _same_time(new.st_mtime_ns, old.st_mtime_ns)


def _same_time(one: int, other: int) -> bool:
    """Equal, or equal in seconds when one of them has no more: a tar may have cut it."""
    if one // 10**9 != other // 10**9:
        return False
    return one == other or not one % 10**9 or not other % 10**9


def _opened(directory: str, stack: ExitStack) -> int:
    try:
        descriptor = os.open(directory, _DIRECTORY)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise Corrupt(f"{directory}: {error.strerror}: the layer's directory is missing") from error
    stack.callback(os.close, descriptor)
    return descriptor
