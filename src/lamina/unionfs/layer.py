"""One directory of the stack, addressed by descriptor: moving it or mounting over it changes nothing."""

from __future__ import annotations

import os
from typing import NamedTuple

#: The path of a layer's root inside it. Every path inside a layer starts with it: ``./usr/bin``.
ROOT = b"."


class Layer:
    """An open layer. ``index`` is 0 for the upper directory, then 1, 2, ... from the top lower one down."""

    __slots__ = ("descriptor", "device", "index", "number_base", "path", "prefix")

    def __init__(self, path: str, index: int) -> None:
        self.path = path
        self.index = index
        self.descriptor = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self.device = os.stat(self.descriptor).st_dev
        #: Added to this layer's inode numbers so that they differ from other file systems'.
        self.number_base = 0
        #: For the system calls that know no directory descriptor: prepend it to a path inside the layer.
        self.prefix = b"/proc/self/fd/%d/" % self.descriptor

    def status(self, path: bytes) -> os.stat_result | None:
        """Of what is at ``path``, a link not followed; ``None`` when nothing is."""
        try:
            return os.stat(path, dir_fd=self.descriptor, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def host_path(self, path: bytes) -> str:
        """``path`` as a user would type it."""
        return os.path.normpath(os.path.join(self.path, os.fsdecode(path)))

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class LowerDirectory(NamedTuple):
    """A directory in one lower layer that is part of a merged one."""

    layer: Layer
    path: bytes
