"""The layers below an overlayfs upper directory, looked at as the one tree that they make, without mounting them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence

from lamina.linux.openat2 import open_beneath
from lamina.typing import NamedTuple
from lamina.unionfs import whiteout

_LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_READ_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Entry(NamedTuple):
    """What lower layers have under one name.

    :ivar status: of the topmost one.
    :ivar capability: its ``security.capability``, ``b""`` for none.
    :ivar layers: descriptors of the layers whose directories make it up, topmost first; empty unless it is a directory.
    """

    status: os.stat_result
    capability: bytes
    layers: tuple[int, ...]


class Below:
    """Lower layers, nearest first, by descriptors of their directories; the caller closes them.

    A path's parent decides which layers count for it, so every question names them: ask from the top down, beginning
    with :attr:`all`, and go on with :attr:`Entry.layers`.
    """

    def __init__(self, layers: Sequence[int]) -> None:
        self.all = tuple(layers)

    def entry(self, path: bytes, layers: Iterable[int]) -> Entry | None:
        """What is at ``path``, whose parent is made of ``layers``; ``None`` when it does not exist there."""
        top: tuple[os.stat_result, bytes] | None = None
        directories: list[int] = []
        for layer in layers:
            try:
                descriptor = open_beneath(layer, path, _LOOK)
            except OSError:
                continue
            try:
                status = os.fstat(descriptor)
                is_directory = stat.S_ISDIR(status.st_mode)
                if whiteout.is_overlay_whiteout(status) or (directories and not is_directory):
                    break
                name = f"/proc/self/fd/{descriptor}"
                if top is None:
                    top = status, capability(name, status)
                if not is_directory:
                    break
                directories.append(layer)
                if is_opaque(name):
                    break
            finally:
                os.close(descriptor)
        return None if top is None else Entry(*top, tuple(directories))

    def names(self, path: bytes, layers: Iterable[int]) -> set[bytes]:
        """Every name in the directories that ``layers`` have at ``path``, deleted ones included."""
        found: set[bytes] = set()
        for layer in layers:
            descriptor = open_beneath(layer, path or b".", _READ_DIRECTORY)
            try:
                found.update(os.fsencode(name) for name in os.listdir(descriptor))
            finally:
                os.close(descriptor)
        return found


def is_opaque(path: str | bytes) -> bool:
    """Whether the directory ``path`` hides what lower layers have in it."""
    for attribute in (whiteout.OPAQUE_XATTR, whiteout.USER_OPAQUE_XATTR):
        try:
            if os.getxattr(path, attribute) == b"y":
                return True
        except OSError:
            continue
    return False


def capability(path: str | bytes, status: os.stat_result) -> bytes:
    """A regular file's ``security.capability``; ``b""`` for none and for anything else."""
    if not stat.S_ISREG(status.st_mode):
        return b""
    try:
        return os.getxattr(path, "security.capability")
    except OSError:
        return b""
