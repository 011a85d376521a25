"""Opening paths that somebody else chose, without leaving a directory.

``openat2(2)``, Linux 5.6. A symbolic link inside an image may point anywhere; resolving it in user space and
opening the answer is a race, so the kernel does both in one call.
"""

from __future__ import annotations

import os

from lamina.linux import ctypes
from lamina.linux.libc import encode, syscall

#: Number of ``openat2`` in ``asm-generic/unistd.h``; the same on every architecture but alpha.
_NR_OPENAT2 = 437

# linux/openat2.h
RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10

#: How often a lookup is repeated that raced with a rename (the kernel answers ``EAGAIN``).
_ATTEMPTS = 64


class _OpenHow(ctypes.Structure):
    """``struct open_how`` of ``linux/openat2.h``."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def openat2(directory: int, path: str | bytes, flags: int, *, mode: int = 0, resolve: int = 0) -> int:
    """Open ``path`` relative to the descriptor ``directory``; a new descriptor, close-on-exec.

    Raises :class:`OSError`: ``EXDEV`` when the path leaves the directory, ``ELOOP`` for a forbidden link, ``ENOSYS``
    before Linux 5.6.
    """
    how = _OpenHow(flags | os.O_CLOEXEC, mode, resolve)
    for attempt in range(_ATTEMPTS):
        try:
            return syscall(
                _NR_OPENAT2, directory, encode(path), ctypes.byref(how), ctypes.c_size_t(ctypes.sizeof(how)), path=path
            )
        except BlockingIOError:
            if attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def open_beneath(directory: int, path: str | bytes, flags: int, *, mode: int = 0) -> int:
    """Open ``path`` below ``directory``: no symbolic link is followed, ``..`` above it and absolute paths fail.

    For what is written: an archive's entry must land where its name says or not at all.
    """
    return openat2(directory, path, flags, mode=mode, resolve=RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)


def open_in_root(root: int, path: str | bytes, flags: int, *, mode: int = 0) -> int:
    """Open ``path`` as a process would whose root directory is ``root``: links and ``..`` stay inside.

    For what is read in a container's tree on a user's behalf. Links such as ``/proc/self/fd/3``, which jump out of any
    root, are refused.
    """
    return openat2(root, path, flags, mode=mode, resolve=RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)


def resolve_in_root(root: int, path: str | bytes) -> int:
    """An ``O_PATH`` descriptor for what ``path`` means inside ``root``; links are followed, the last one too.

    ``/proc/self/fd/<n>`` (:func:`descriptor_path`) is a host path to it that no rename inside the root can redirect.
    """
    return open_in_root(root, path, os.O_PATH)


def path_in_root(directory: str, path: str | bytes, flags: int = os.O_PATH) -> str:
    """Host path of what ``path`` means inside ``directory``: no link leads out of it. Raises :class:`OSError`."""
    root = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        descriptor = open_in_root(root, path, flags)
    finally:
        os.close(root)
    try:
        return os.readlink(descriptor_path(descriptor))
    finally:
        os.close(descriptor)


def descriptor_path(descriptor: int) -> str:
    """A path to an open descriptor, for calls that take only paths."""
    return f"/proc/self/fd/{descriptor}"
