"""File handles: what a file is called on its file system, whatever its names are.

Sources: ``name_to_handle_at(2)``; ``FS_IOC_GETFSUUID`` of ``linux/fs.h`` (Linux 6.9).
"""

from __future__ import annotations

import fcntl

from lamina.linux import ctypes
from lamina.linux.libc import LIBC, check, encode
from lamina.typing import NamedTuple

#: ``MAX_HANDLE_SZ``.
_LARGEST = 128
#: ``FS_IOC_GETFSUUID``: ``_IOR(0x15, 0, struct fsuuid2)``, which is a length and 16 bytes.
_GET_UUID = 0x80111500


class _FileHandle(ctypes.Structure):
    """``struct file_handle``."""

    _fields_ = (("size", ctypes.c_uint), ("kind", ctypes.c_int), ("data", ctypes.c_ubyte * _LARGEST))


class Handle(NamedTuple):
    """``kind`` says how the file system packed ``data``."""

    kind: int
    data: bytes


def file_handle(path: str | bytes, *, directory: int) -> Handle:
    """The handle of ``path`` relative to ``directory``, a link not followed. ``EOPNOTSUPP`` where there are none."""
    found = _FileHandle(_LARGEST)
    mount = ctypes.c_int()
    check(
        int(LIBC.name_to_handle_at(directory, encode(path), ctypes.byref(found), ctypes.byref(mount), 0)),
        path,
    )
    return Handle(found.kind, bytes(found.data[: found.size]))


def file_system_uuid(descriptor: int) -> bytes:
    """16 bytes, zeros where there is none. ``ENOTTY`` from a kernel before 6.9; not for ``O_PATH`` descriptors."""
    found = bytearray(17)
    fcntl.ioctl(descriptor, _GET_UUID, found)
    return bytes(found[1:])
