"""The kernel's FUSE protocol, struct by struct: what ``/dev/fuse`` carries.

Source: ``include/uapi/linux/fuse.h`` of Linux 6.18 (protocol 7.45), of which this speaks up to 7.41. All fields are in
the machine's byte order. A ``*_IN`` struct follows the request header, a ``*_OUT`` struct includes the reply header, so
that a reply is packed at once.
"""

from __future__ import annotations

import enum
from struct import Struct

MAJOR = 7
#: The newest minor version that replies may be written for.
MINOR = 41
#: ``FUSE_ROOT_ID``: the root's node number.
ROOT_ID = 1
#: A read of the device needs at least this much besides the largest write (``FUSE_MIN_READ_BUFFER``).
HEADER_ROOM = 8192


class Opcode(enum.IntEnum):
    """``enum fuse_opcode``."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    SETATTR = 4
    READLINK = 5
    SYMLINK = 6
    MKNOD = 8
    MKDIR = 9
    UNLINK = 10
    RMDIR = 11
    RENAME = 12
    LINK = 13
    OPEN = 14
    READ = 15
    WRITE = 16
    STATFS = 17
    RELEASE = 18
    FSYNC = 20
    SETXATTR = 21
    GETXATTR = 22
    LISTXATTR = 23
    REMOVEXATTR = 24
    FLUSH = 25
    INIT = 26
    OPENDIR = 27
    READDIR = 28
    RELEASEDIR = 29
    FSYNCDIR = 30
    GETLK = 31
    SETLK = 32
    SETLKW = 33
    ACCESS = 34
    CREATE = 35
    INTERRUPT = 36
    BMAP = 37
    DESTROY = 38
    IOCTL = 39
    POLL = 40
    NOTIFY_REPLY = 41
    BATCH_FORGET = 42
    FALLOCATE = 43
    READDIRPLUS = 44
    RENAME2 = 45
    LSEEK = 46
    COPY_FILE_RANGE = 47
    SYNCFS = 50
    TMPFILE = 51
    STATX = 52


class Init(enum.IntFlag):
    """``FUSE_*`` flags of ``INIT``; bits from 32 up travel in ``flags2``."""

    ASYNC_READ = 1 << 0
    POSIX_LOCKS = 1 << 1
    ATOMIC_O_TRUNC = 1 << 3
    EXPORT_SUPPORT = 1 << 4
    BIG_WRITES = 1 << 5
    DONT_MASK = 1 << 6
    FLOCK_LOCKS = 1 << 10
    DO_READDIRPLUS = 1 << 13
    READDIRPLUS_AUTO = 1 << 14
    ASYNC_DIO = 1 << 15
    WRITEBACK_CACHE = 1 << 16
    NO_OPEN_SUPPORT = 1 << 17
    PARALLEL_DIROPS = 1 << 18
    POSIX_ACL = 1 << 20
    ABORT_ERROR = 1 << 21
    MAX_PAGES = 1 << 22
    CACHE_SYMLINKS = 1 << 23
    NO_OPENDIR_SUPPORT = 1 << 24
    HANDLE_KILLPRIV_V2 = 1 << 28
    SETXATTR_EXT = 1 << 29
    INIT_EXT = 1 << 30
    PASSTHROUGH = 1 << 37


class SetAttribute(enum.IntFlag):
    """``FATTR_*``: which fields of ``SETATTR`` count."""

    MODE = 1 << 0
    UID = 1 << 1
    GID = 1 << 2
    SIZE = 1 << 3
    ATIME = 1 << 4
    MTIME = 1 << 5
    FH = 1 << 6
    ATIME_NOW = 1 << 7
    MTIME_NOW = 1 << 8
    CTIME = 1 << 10
    KILL_SUIDGID = 1 << 11


# FOPEN_*: how the kernel may use an open file
FOPEN_KEEP_CACHE = 1 << 1
FOPEN_CACHE_DIR = 1 << 3
FOPEN_NOFLUSH = 1 << 5
FOPEN_PASSTHROUGH = 1 << 7

GETATTR_FH = 1 << 0
WRITE_KILL_SUIDGID = 1 << 2
OPEN_KILL_SUIDGID = 1 << 0
SETXATTR_ACL_KILL_SGID = 1 << 0
FSYNC_DATA_ONLY = 1 << 0

#: ``struct fuse_in_header``: length, opcode, unique, node, uid, gid, pid, length of extensions (16 bits), padding.
HEADER_IN = Struct("=IIQQIIIHH")
HEADER_IN_SIZE = HEADER_IN.size
#: The beginning of it, which says what to do: length, opcode, unique, node.
REQUEST = Struct("=IIQQ")
#: The user and the group in it, and where they are.
CALLER = Struct("=II")
CALLER_AT = 24
#: ``struct fuse_out_header``: length, negative error number, unique.
HEADER_OUT = Struct("=IiQ")
HEADER_OUT_SIZE = HEADER_OUT.size

#: ``struct fuse_attr``: inode, size, blocks, three times in seconds, their nanoseconds, mode, links, uid, gid, device,
#: block size, flags.
_ATTRIBUTES = "QQQqqqIIIIIIIIII"
ATTRIBUTES = Struct("=" + _ATTRIBUTES)
#: ``struct fuse_entry_out``: node, generation, entry and attribute lifetime in seconds, their nanoseconds, attributes.
_ENTRY_HEAD = "QQQQII"
_ENTRY = _ENTRY_HEAD + _ATTRIBUTES

INIT_IN = Struct("=IIII")
INIT_IN_EXT = Struct("=IIIII")
#: Major, minor, read-ahead, flags, background, congestion, largest write, time granularity, pages, alignment, flags2,
#: stack depth, unused.
INIT_OUT = Struct("=IiQ IIIIHHIIHHII24x")
FORGET_IN = Struct("=Q")
#: Count, padding; then node and count each.
BATCH_FORGET_IN = Struct("=II")
FORGET_ONE = Struct("=QQ")
#: Flags, padding, handle.
GETATTR_IN = Struct("=IIQ")
#: Lifetime, its nanoseconds, padding, attributes.
ATTR_OUT = Struct("=IiQ QII" + _ATTRIBUTES)
#: The same up to the attributes.
ATTR_HEAD = Struct("=IiQ QII")
#: Valid, padding, handle, size, lock owner, times, nanoseconds, mode, unused, uid, gid, unused.
SETATTR_IN = Struct("=IIQQQqqqIIIIIIII")
MKNOD_IN = Struct("=IIII")
MKDIR_IN = Struct("=II")
RENAME_IN = Struct("=Q")
#: New directory, flags, padding.
RENAME2_IN = Struct("=QII")
LINK_IN = Struct("=Q")
#: Flags, open flags.
OPEN_IN = Struct("=II")
#: Flags, mode, umask, open flags.
CREATE_IN = Struct("=IIII")
#: Handle, open flags, backing id.
OPEN_OUT = Struct("=IiQ QIi")
ENTRY_OUT = Struct("=IiQ" + _ENTRY)
#: The same up to the attributes.
ENTRY_HEAD = Struct("=IiQ" + _ENTRY_HEAD)
CREATE_OUT = Struct("=IiQ" + _ENTRY + "QIi")
#: What an entry lacks to be that: handle, open flags, backing id.
OPENED = Struct("=QIi")
#: Handle, flags, release flags, lock owner.
RELEASE_IN = Struct("=QIIQ")
#: Handle, offset, size, flags, lock owner, file flags, padding.
READ_IN = Struct("=QQIIQII")
WRITE_IN = Struct("=QQIIQII")
WRITE_IN_SIZE = WRITE_IN.size
#: Size, padding.
WRITE_OUT = Struct("=IiQ II")
#: Blocks, free, available, files, free files, block size, name length, fragment size, padding.
STATFS_OUT = Struct("=IiQ QQQQQIIII24x")
#: Handle, flags, padding.
FSYNC_IN = Struct("=QII")
#: Size, flags, more flags, padding.
SETXATTR_IN = Struct("=IIII")
#: Size, padding.
GETXATTR_IN = Struct("=II")
GETXATTR_OUT = Struct("=IiQ II")
#: Handle, offset, length, mode, padding.
FALLOCATE_IN = Struct("=QQQII")
#: Handle, offset, whence, padding.
LSEEK_IN = Struct("=QQII")
LSEEK_OUT = Struct("=IiQ Q")
#: Handle and offset in, node out, handle and offset out, length, flags.
COPY_FILE_RANGE_IN = Struct("=QQQQQQQ")
INTERRUPT_IN = Struct("=Q")
#: ``struct fuse_dirent`` without the name: inode, next offset, length of the name, type.
DIRENT = Struct("=QQII")
#: ``struct fuse_direntplus`` without the name.
DIRENTPLUS = Struct("=" + _ENTRY + "QQII")
#: The same up to the attributes.
DIRENTPLUS_HEAD = Struct("=" + _ENTRY_HEAD)

#: ``FUSE_DEV_IOC_BACKING_OPEN``: ``_IOW(229, 1, struct fuse_backing_map)``.
BACKING_OPEN = 0x4010E501
#: ``FUSE_DEV_IOC_BACKING_CLOSE``: ``_IOW(229, 2, uint32_t)``.
BACKING_CLOSE = 0x4004E502
#: ``struct fuse_backing_map``: descriptor, flags, padding.
BACKING_MAP = Struct("=iIQ")
