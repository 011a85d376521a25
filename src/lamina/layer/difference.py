"""What a layer changes, as the tar of a new layer.

For overlayfs the upper directory is the difference; for drivers with whole trees (``vfs``) two trees are compared.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from lamina.errors import Corrupt
from lamina.graphdriver.contract import DiffForm
from lamina.layer.changes import snapshot_changes
from lamina.layer.pack import Packer
from lamina.layer.tree import Node, name_on_host, walk
from lamina.owners import SAME, Owners
from lamina.tarball.writer import gathered
from lamina.unionfs import whiteout

_TOP = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


def upper_tar(directory: str, form: DiffForm, owners: Owners = SAME) -> Iterator[bytes]:
    """The layer tar of a directory that holds only what a layer changes, in chunks. Raises as :func:`overlay_tar`.

    :param owners: who has files in the archive for those who have them here.
    """
    return aufs_tar(directory) if form is DiffForm.AUFS else overlay_tar(directory, owners)


# overlayfs


def overlay_tar(directory: str, owners: Owners = SAME) -> Iterator[bytes]:
    """The layer tar of an overlayfs upper directory, whiteouts as ``.wh.`` entries, in chunks.

    Raises ``Unsupported`` for what a layer can't express, ``Corrupt`` when files are missing.
    """
    return gathered(_overlay_pieces(directory, owners))


def _overlay_pieces(directory: str, owners: Owners) -> Iterator[bytes]:
    packer = Packer(owners)
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


# AUFS


def aufs_tar(directory: str) -> Iterator[bytes]:
    """The layer tar of an AUFS branch; the same changes give the same bytes as from an overlayfs upper directory."""
    return gathered(_aufs_pieces(directory))


def _aufs_pieces(directory: str) -> Iterator[bytes]:
    packer = Packer()
    root = _open(directory)
    ignored: bytes | None = None
    try:
        for node in walk(root, key=_shown_name):
            if ignored is not None and node.path.startswith(ignored):
                continue
            if not node.name.startswith(whiteout.PREFIX):
                yield from packer.pack(node, opaque=_is_opaque(node))
            elif node.name.startswith(whiteout.META_PREFIX):
                ignored = node.path + b"/"
            elif hidden := whiteout.hidden_name(node.name):
                parent, slash, _ = node.path.rpartition(b"/")
                yield from packer.whiteout(parent + slash + hidden)
    finally:
        os.close(root)
    yield from packer.end()


def _shown_name(name: bytes) -> bytes:
    """A whiteout's place is that of the name that it hides."""
    return (whiteout.hidden_name(name) or name) if name.startswith(whiteout.PREFIX) else name


def _is_opaque(node: Node) -> bool:
    return stat.S_ISDIR(node.status.st_mode) and os.path.lexists(name_on_host(node) + b"/" + whiteout.OPAQUE)


# whole trees


def snapshot_tar(directory: str, parent: str | None, owners: Owners = SAME) -> Iterator[bytes]:
    """The layer tar that turns ``parent`` into ``directory``, in chunks. Raises as :func:`overlay_tar` does."""
    return gathered(_snapshot_pieces(directory, parent, owners))


def _snapshot_pieces(directory: str, parent: str | None, owners: Owners) -> Iterator[bytes]:
    packer = Packer(owners)
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


def tidy(directory: str, latest: int | None) -> None:
    """Remove sockets, which no layer holds, and cut times."""
    root = os.open(directory, _TOP)
    limit = None if latest is None else latest * 1_000_000_000
    try:
        for node in walk(root):
            if stat.S_ISSOCK(node.status.st_mode):
                os.unlink(node.name, dir_fd=node.directory)
            elif limit is not None and node.status.st_mtime_ns > limit:
                os.utime(node.name, ns=(limit, limit), dir_fd=node.directory, follow_symlinks=False)
    finally:
        os.close(root)


def _open(directory: str) -> int:
    try:
        return os.open(directory, _DIRECTORY)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise Corrupt(f"{directory}: {error.strerror}: the layer's directory is missing") from error
