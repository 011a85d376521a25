"""Content, owner and extended attributes of one file that is being extracted."""

from __future__ import annotations

import errno
import os

from lamina.contextlib import suppress
from lamina.errors import Unsupported
from lamina.layer.entry import InvalidEntry
from lamina.linux.files import sync_file_range
from lamina.tarball.header import Header
from lamina.tarball.reader import TarReader
from lamina.unionfs import whiteout

#: ``(uid_t) -1`` means "leave it" to the kernel and so can be nobody's (CVE-2024-40635).
_MAX_ID = (1 << 32) - 2

#: From this size on, a file's write-back is started at once.
_LARGE = 1 << 20


def check_owner(header: Header) -> None:
    """Raise :class:`InvalidEntry` for an owner that the kernel does not know or would take for another."""
    if not (0 <= header.uid <= _MAX_ID and 0 <= header.gid <= _MAX_ID):
        raise InvalidEntry(header.name, f"owner {header.uid}:{header.gid} is not a valid user and group")


def write_content(file: int, header: Header, reader: TarReader) -> None:
    """Write the current entry of ``reader`` to the new file ``file``."""
    if header.sparse is not None:
        _write_sparse(file, header, reader)
        return
    take = reader.take
    left = header.size
    while left:
        data = take()
        left -= len(data)
        written = os.write(file, data)
        while written < len(data):
            written += os.write(file, memoryview(data)[written:])
    if header.size >= _LARGE:
        # The image's one syncfs at the end must not find everything still to be written.
        with suppress(OSError):
            sync_file_range(file, 0, 0)


def _write_sparse(file: int, header: Header, reader: TarReader) -> None:
    """The stored parts in their places; what is between stays a hole."""
    regions = header.sparse
    assert regions is not None
    os.ftruncate(file, header.size)
    for index in range(0, len(regions), 2):
        offset, left = regions[index], regions[index + 1]
        while left:
            data = reader.take(left)
            left -= len(data)
            while data:
                written = os.pwrite(file, data, offset)
                offset += written
                data = data[written:]


def set_xattrs(file: int | bytes, header: Header, privileged: bool) -> None:
    """Set what the file system takes. Docker, too, drops what it does not support, and ``user.`` on a link.

    What steers overlayfs is dropped: it would show lower files under other names or hide them.

    :param file: an open file, or a path whose last component is not followed.
    """
    for name, value in (header.xattrs or {}).items():
        if whiteout.is_overlay_xattr(name):
            continue
        try:
            if isinstance(file, int):
                os.setxattr(file, name, value)
            else:
                os.setxattr(file, name, value, follow_symlinks=False)
        except OSError as error:
            if error.errno == errno.EOPNOTSUPP:
                continue
            if error.errno == errno.EPERM and (name.startswith(b"user.") or not privileged):
                continue
            raise _xattr_error(header, name, value, error) from error


def _xattr_error(header: Header, name: bytes, value: bytes, error: OSError) -> Exception:
    """ext4 answers ``ENOSPC`` when an attribute is larger than a block, however empty the disk is."""
    what = f"extended attribute {os.fsdecode(name)[:80]!r}"
    if error.errno in (errno.E2BIG, errno.ERANGE, errno.ENOSPC) and len(name) + len(value) > 2048:
        return Unsupported(
            f"failed to register layer: {os.fsdecode(header.name)[:300]!r}: {what} of {len(value)} bytes is too large "
            "for the file system"
        )
    if error.errno in (errno.EINVAL, errno.ERANGE):
        return InvalidEntry(header.name, what)
    return error
