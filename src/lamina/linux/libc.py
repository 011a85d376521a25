"""The C library, and how a failed call becomes an :class:`OSError`."""

from __future__ import annotations

import os

from lamina.linux import ctypes

#: glibc with the thread's own copy of ``errno``; calls release the interpreter lock.
LIBC = ctypes.CDLL(None, use_errno=True)

_syscall = LIBC.syscall
_syscall.restype = ctypes.c_long

#: ``AT_FDCWD`` of ``linux/fcntl.h``: relative to the working directory.
AT_FDCWD = -100
#: ``AT_EMPTY_PATH`` of ``linux/fcntl.h``: the descriptor itself is meant.
AT_EMPTY_PATH = 0x1000
#: ``AT_RECURSIVE`` of ``linux/fcntl.h``: the whole tree of mounts.
AT_RECURSIVE = 0x8000


def failure(path: str | bytes | int | None = None, path2: str | bytes | None = None) -> OSError:
    """The :class:`OSError` (of the subclass that fits) for the calling thread's ``errno``."""
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), path, None, path2)


def check(result: int, path: str | bytes | int | None = None, path2: str | bytes | None = None) -> int:
    """``result`` of a C function; -1 raises :class:`OSError` about ``path``."""
    if result == -1:
        raise failure(path, path2)
    return result


def syscall(number: int, *arguments: object, path: str | bytes | int | None = None) -> int:
    """Call by number, for what the C library does not wrap. Integers must be ``ctypes.c_long`` or fit an ``int``."""
    return check(int(_syscall(ctypes.c_long(number), *arguments)), path)


def encode(path: str | bytes) -> bytes:
    """``path`` as the kernel wants it; a NUL byte would silently cut it, so it is refused."""
    raw = os.fsencode(path)
    if b"\0" in raw:
        raise ValueError(f"embedded null byte in path {path!r}")
    return raw
