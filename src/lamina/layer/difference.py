"""What a layer changes: as Docker lists it (``docker diff``) and as the tar of a new layer.

For overlayfs the upper directory is the difference; for drivers with whole trees (``vfs``) two trees are compared.
The rules of what counts as a change are moby's ``pkg/archive`` (``changes.go``): a directory is one when its mode or
time differs or something in it was added or deleted.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from lamina.errors import Corrupt
from lamina.layer.contract import Change
from lamina.layer.pack import Packer
from lamina.layer.tree import Node, name_on_host, walk
from lamina.linux.openat2 import open_beneath
from lamina.unionfs import whiteout

_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_BATCH = 1 << 18
_CAPABILITY = "security.capability"


# overlayfs


def overlay_tar(directory: str) -> Iterator[bytes]:
    """The layer tar of an overlayfs upper directory, whiteouts as ``.wh.`` entries, in chunks.

    Raises ``Unsupported`` for what a layer can't express, ``Corrupt`` when files are missing.
    """
    return _batched(_overlay_pieces(directory))


def _overlay_pieces(directory: str) -> Iterator[bytes]:
    packer = Packer()
    root = _open(directory)
    try:
        for node in walk(root):
            if whiteout.is_overlay_whiteout(node.status):
                yield from packer.whiteout(node.path)
            else:
                yield from packer.pack(node)
    finally:
        os.close(root)
    yield from packer.end()


def changes(upper: str, lowers: Sequence[str]) -> list[Change]:
    """What ``docker diff`` lists for an overlayfs upper directory.

    :param lowers: directories of the layers below, nearest first.
    """
    found: list[Change] = []
    changed: set[bytes] = set()
    with ExitStack() as stack:
        root = _open(upper)
        stack.callback(os.close, root)
        layers = []
        for lower in lowers:
            layers.append(_open(lower))
            stack.callback(os.close, layers[-1])
        for node in walk(root):
            kind = _overlay_kind(node, layers)
            if kind is None:
                continue
            if stat.S_ISDIR(node.status.st_mode):
                changed.add(node.path)
            parent = node.path.rpartition(b"/")[0]
            if kind != "C" and parent and parent not in changed:
                changed.add(parent)
                found.append(Change("C", b"/" + parent))
            found.append(Change(kind, b"/" + node.path))
    return sorted(found, key=lambda change: change.path)


def _overlay_kind(node: Node, layers: list[int]) -> str | None:
    """``A``, ``C`` or ``D``; ``None`` for a directory that is only there because of its content."""
    directory = stat.S_ISDIR(node.status.st_mode)
    if whiteout.is_overlay_whiteout(node.status) or (directory and _is_opaque(node)):
        return "D"
    for layer in layers:
        status = _status(layer, node.path)
        if status is not None:
            return None if directory and _same_directory(node.status, status) else "C"
    return "A"


def _is_opaque(node: Node) -> bool:
    for attribute in (whiteout.OPAQUE_XATTR, whiteout.USER_OPAQUE_XATTR):
        try:
            if os.getxattr(name_on_host(node), attribute, follow_symlinks=False) == b"y":
                return True
        except OSError:
            continue
    return False


def _status(root: int, path: bytes) -> os.stat_result | None:
    """The status of ``path`` below ``root``; no link leads out, nor anywhere else."""
    try:
        descriptor = open_beneath(root, path, os.O_PATH | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)


def _same_directory(new: os.stat_result, old: os.stat_result) -> bool:
    return (
        stat.S_ISDIR(old.st_mode)
        and new.st_mode == old.st_mode
        and new.st_size == old.st_size
        and _same_time(new.st_mtime_ns, old.st_mtime_ns)
    )


def _same_time(one: int, other: int) -> bool:
    """Equal, or equal in seconds when one of them has no more: a tar may have cut it."""
    if one // 10**9 != other // 10**9:
        return False
    return one == other or not one % 10**9 or not other % 10**9


# whole trees


def snapshot_changes(directory: str, parent: str | None) -> list[Change]:
    """What ``docker diff`` lists for a tree that began as a copy of ``parent``; ``None`` for an empty one."""
    with ExitStack() as stack:
        new = _open(directory)
        stack.callback(os.close, new)
        old = None
        if parent is not None:
            old = _open(parent)
            stack.callback(os.close, old)
        return sorted(_compare(new, old), key=lambda change: change.path)


def snapshot_tar(directory: str, parent: str | None) -> Iterator[bytes]:
    """The layer tar that turns ``parent`` into ``directory``, in chunks. Raises as :func:`overlay_tar` does."""
    return _batched(_snapshot_pieces(directory, parent))


def _snapshot_pieces(directory: str, parent: str | None) -> Iterator[bytes]:
    packer = Packer()
    kinds = {change.path[1:]: change.kind for change in snapshot_changes(directory, parent)}
    for path, kind in kinds.items():
        if kind == "D":
            yield from packer.whiteout(path)
    root = _open(directory)
    try:
        for node in walk(root):
            if node.path in kinds:
                yield from packer.pack(node)
    finally:
        os.close(root)
    yield from packer.end()


def _compare(new: int, old: int | None) -> Iterator[Change]:
    before: dict[bytes, tuple[os.stat_result, bytes]] = {}
    if old is not None:
        before = {node.path: (node.status, _capability(node)) for node in walk(old)}
    listed: set[bytes] = set()
    not_directories: set[bytes] = set()
    for node in walk(new):
        previous = before.pop(node.path, None)
        if not stat.S_ISDIR(node.status.st_mode) and previous and stat.S_ISDIR(previous[0].st_mode):
            not_directories.add(node.path)
        if previous is None:
            kind = "A"
        elif _differs(node.status, previous[0]) or _capability(node) != previous[1]:
            kind = "C"
        else:
            continue
        yield from _with_parents(node.path, kind, listed)
    deleted: set[bytes] = set()
    for path in before:  # a directory comes before its content
        directory = path.rpartition(b"/")[0]
        if directory in deleted or directory in not_directories:
            (deleted if directory in deleted else not_directories).add(path)
            continue
        deleted.add(path)
        yield from _with_parents(path, "D", listed)


def _with_parents(path: bytes, kind: str, listed: set[bytes]) -> Iterator[Change]:
    """A change, and its directories as changed unless they are listed already."""
    if path not in listed:
        listed.add(path)
        yield Change(kind, b"/" + path)
    directory = path.rpartition(b"/")[0]
    while directory and directory not in listed:
        listed.add(directory)
        yield Change("C", b"/" + directory)
        directory = directory.rpartition(b"/")[0]


def _capability(node: Node) -> bytes:
    if not stat.S_ISREG(node.status.st_mode):
        return b""
    try:
        return os.getxattr(name_on_host(node), _CAPABILITY, follow_symlinks=False)
    except OSError:
        return b""


def _differs(new: os.stat_result, old: os.stat_result) -> bool:
    """Inode, change time and block count are left out: they change when a tree is copied."""
    if (new.st_mode, new.st_uid, new.st_gid, new.st_rdev) != (old.st_mode, old.st_uid, old.st_gid, old.st_rdev):
        return True
    if stat.S_ISDIR(new.st_mode):
        return False
    return new.st_size != old.st_size or not _same_time(new.st_mtime_ns, old.st_mtime_ns)


def _open(directory: str) -> int:
    try:
        return os.open(directory, _DIRECTORY)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise Corrupt(f"{directory}: {error.strerror}: the layer's directory is missing") from error


def _batched(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Headers and small files put together, so that a reader gets chunks worth its while."""
    batch: list[bytes] = []
    pending = 0
    for piece in pieces:
        batch.append(piece)
        pending += len(piece)
        if pending >= _BATCH:
            yield b"".join(batch)
            batch.clear()
            pending = 0
    if pending:
        yield b"".join(batch)
