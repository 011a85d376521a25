"""File system calls that Python lacks: sync of one file system, reflinks, exchanging renames, file system types."""

from __future__ import annotations

import errno
import fcntl
import os

from lamina.linux import ctypes
from lamina.linux.libc import AT_FDCWD, LIBC, check, encode

# linux/fs.h
RENAME_NOREPLACE = 1
RENAME_EXCHANGE = 2
RENAME_WHITEOUT = 4
#: ``FICLONE`` of ``linux/fs.h``: ``_IOW(0x94, 9, int)``.
_FICLONE = 0x40049409

# linux/fs.h
SYNC_FILE_RANGE_WAIT_BEFORE = 1
SYNC_FILE_RANGE_WRITE = 2
SYNC_FILE_RANGE_WAIT_AFTER = 4

#: The most one ``copy_file_range`` moves; the kernel caps it at about 2 GiB.
_COPY_CHUNK = 1 << 30

#: Docker's names (``docker info``, "Backing Filesystem") by ``f_type``; magic numbers of ``linux/magic.h`` and of the
#: file systems' own headers.
_FILE_SYSTEM_NAMES = {
    0x61756673: "aufs",
    0x9123683E: "btrfs",
    0x28CD3D45: "cramfs",
    0xF15F: "ecryptfs",
    0xEF53: "extfs",
    0xF2F52010: "f2fs",
    0x65735546: "fuseblk",
    0x47504653: "gpfs",
    0x3153464A: "jfs",
    0x6969: "nfs",
    0x794C7630: "overlayfs",
    0x858458F6: "ramfs",
    0x52654973: "reiserfs",
    0x517B: "smb",
    0x73717368: "squashfs",
    0x01021994: "tmpfs",
    0x565A4653: "vxfs",
    0x58465342: "xfs",
    0x2FC12FC1: "zfs",
}


def syncfs(path: str) -> None:
    """Put the file system that holds ``path`` on disk. Raises what writing it back met, ``EIO`` or ``ENOSPC``."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        check(int(LIBC.syncfs(descriptor)), path)
    finally:
        os.close(descriptor)


def sync_file_range(descriptor: int, offset: int, length: int, flags: int = SYNC_FILE_RANGE_WRITE) -> None:
    """Start (or wait for) write-back of a part of a file. No durability by itself: metadata is not written."""
    check(
        int(LIBC.sync_file_range(descriptor, ctypes.c_int64(offset), ctypes.c_int64(length), ctypes.c_uint(flags))),
        descriptor,
    )


def text_of(path: str) -> str:
    """What a file below ``/proc`` or ``/sys`` says; ``""`` where it can't be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def renameat2(
    source: str | bytes,
    target: str | bytes,
    *,
    source_directory: int = AT_FDCWD,
    target_directory: int = AT_FDCWD,
    flags: int = 0,
) -> None:
    """``rename`` that can refuse to replace, exchange two names, or leave a whiteout."""
    result = LIBC.renameat2(source_directory, encode(source), target_directory, encode(target), ctypes.c_uint(flags))
    check(int(result), source, target)


def clone_file(source: int, target: int) -> bool:
    """Make ``target`` share all of ``source``'s blocks (a reflink); whether the file system can."""
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS, errno.ETXTBSY):
            return False
        raise
    return True


def copy_data(source: int, target: int) -> None:
    """Copy a regular file's content between open descriptors, cheapest way first; holes stay holes.

    ``target`` must be empty. Its offset and ``source``'s are undefined afterwards.
    """
    if clone_file(source, target):
        return
    size = os.fstat(source).st_size
    position = 0
    while position < size:
        try:
            position = os.lseek(source, position, os.SEEK_DATA)
            end = os.lseek(source, position, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole is left
                break
            if error.errno != errno.EINVAL:
                raise
            end = size
        position = _copy_range(source, target, position, end)
        if position < end:  # the file was truncated meanwhile
            break
    os.ftruncate(target, size)


def _copy_range(source: int, target: int, start: int, end: int) -> int:
    """Copy ``[start, end)`` to the same offsets; the offset reached, less than ``end`` only at the file's end."""
    while start < end:
        try:
            copied = os.copy_file_range(source, target, min(end - start, _COPY_CHUNK), start, start)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
                raise
            copied = _copy_by_hand(source, target, start, min(end - start, 1 << 20))
        if copied == 0:
            break
        start += copied
    return start


def _copy_by_hand(source: int, target: int, offset: int, length: int) -> int:
    data = os.pread(source, length, offset)
    view = memoryview(data)
    while view:
        view = view[os.pwrite(target, view, offset + len(data) - len(view)) :]
    return len(data)


def file_system_type(path: str) -> int:
    """``f_type`` of the file system that holds ``path``: a magic number of ``linux/magic.h``."""
    buffer = (ctypes.c_ulong * 32)()  # struct statfs is 120 bytes on 64-bit machines, and f_type its first word
    check(int(LIBC.statfs(encode(path), ctypes.byref(buffer))), path)
    return int(buffer[0]) & 0xFFFFFFFF


def file_system_name(path: str) -> str:
    """Docker's name for the file system that holds ``path``: ``extfs``, ``xfs``, ``tmpfs``; ``<unknown>``."""
    return _FILE_SYSTEM_NAMES.get(file_system_type(path), "<unknown>")


def supports_d_type(path: str) -> bool:
    """Whether directory listings of the file system tell files from directories, which overlayfs relies on.

    Judged by the entries of ``path`` itself; an empty directory still has ``.`` and ``..``.
    """
    buffer = (ctypes.c_ubyte * 4096)()
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        length = check(int(LIBC.getdents64(descriptor, buffer, ctypes.c_size_t(len(buffer)))), path)
    finally:
        os.close(descriptor)
    # struct linux_dirent64 of linux/dirent.h: inode (8 bytes), offset (8), record length (2), type (1), name
    return length > 18 and buffer[18] != 0


def fallocate(descriptor: int, mode: int, offset: int, length: int) -> None:
    """``fallocate(2)`` with its modes: keep the size, punch a hole, and so on."""
    check(int(LIBC.fallocate64(descriptor, mode, ctypes.c_int64(offset), ctypes.c_int64(length))), descriptor)
