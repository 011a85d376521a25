"""One directory of the stack, addressed by descriptor: moving it or mounting over it changes nothing."""

from __future__ import annotations

import os

from lamina import contextlib
from lamina.linux.mount import open_tree
from lamina.typing import NamedTuple

#: The path of a layer's root inside it. Every path inside a layer starts with it (``./usr/bin``) unless it got too long
#: and goes by a descriptor instead (``/proc/self/fd/9/.``, which system calls take relative to a layer just as well).
ROOT = b"."
#: A directory with a longer path inside a layer goes by a descriptor, because paths are limited (``PATH_MAX``, 4096).
PATH_LIMIT = 2048


class Layer:
    """An open layer. ``index`` is 0 for the upper directory, then 1, 2, ... from the top lower one down.

    Where allowed it is a private copy of the mount it lies on, as in the kernel's overlayfs: what is mounted or
    unmounted there later changes nothing here, and nothing there is busy because of it.
    """

    __slots__ = ("_mount", "_mount_root", "descriptor", "device", "index", "number_base", "path", "prefix")

    def __init__(self, path: str, index: int, *, work: str | None = None, same_mount: Layer | None = None) -> None:
        """``work``: a directory to be opened with this one as ``same_mount``, so that files can be renamed over."""
        self.path = path
        self.index = index
        self._mount = -1
        self._mount_root = os.path.realpath(path)
        if work is not None:
            self._mount_root = os.path.commonpath((self._mount_root, os.path.realpath(work)))
        if same_mount is None:
            with contextlib.suppress(OSError):  # not root, or an old kernel: descriptors of the directories will do
                self._mount = open_tree(self._mount_root)
        if index and self._mount >= 0:  # nothing else is opened on a lower layer's mount
            self.descriptor, self._mount = self._mount, -1
        else:
            self.descriptor = (same_mount or self)._open(path)
        self.device = os.stat(self.descriptor).st_dev
        #: Added to this layer's inode numbers so that they differ from other file systems'.
        self.number_base = 0
        #: The layer's root by itself.
        self.prefix = b"/proc/self/fd/%d/" % self.descriptor

    def _open(self, path: str) -> int:
        """A descriptor of a directory on the same mount as this layer."""
        direct = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        if self._mount < 0:
            return direct
        private = -1
        try:
            inside = os.path.relpath(os.path.realpath(path), self._mount_root)
            private = os.open(inside, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._mount)
            if os.path.samestat(os.fstat(private), os.fstat(direct)):
                direct, private = private, direct
        except OSError:
            return direct  # something else is mounted on the way
        finally:
            if private >= 0:
                os.close(private)
        return direct

    def absolute(self, path: bytes) -> bytes:
        """``path`` for the system calls that know no directory descriptor."""
        return path if path.startswith(b"/") else self.prefix + path

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
        if self._mount >= 0:
            os.close(self._mount)
            self._mount = -1


class LowerDirectory(NamedTuple):
    """A directory in one lower layer that is part of a merged one."""

    layer: Layer
    path: bytes
