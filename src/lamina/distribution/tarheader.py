"""Headers of the few kinds of entries that an image archive has, as Go's ``archive/tar`` writes them for Docker.

ustar, owned by root, the file's type bits in the mode field too, device numbers written as zero.
"""

from __future__ import annotations

from lamina.tarball import header as tar
from lamina.tarball import pax

#: What ends an archive: two blocks of zeros.
END = bytes(2 * tar.BLOCK)

#: The largest size that 11 octal digits can say: 8 GiB less one.
_USTAR_SIZE = 8**11 - 1


def padding(size: int) -> bytes:
    """Zeros up to the next block after ``size`` bytes of content."""
    return bytes(-size % tar.BLOCK)


def directory(name: str, mtime: int) -> bytes:
    """``name`` has no slash at its end; ``mtime`` is in seconds since the epoch, here and below."""
    return _block(f"{name}/", tar.DIRECTORY, mode=0o40755, mtime=mtime)


def symlink(name: str, mtime: int, target: str) -> bytes:
    return _block(name, tar.SYMLINK, mode=0o120777, mtime=mtime, target=target)


def file(name: str, mtime: int, size: int) -> bytes:
    """A regular file of ``size`` bytes; beyond 8 GiB a PAX record says the size."""
    if size <= _USTAR_SIZE:
        return _block(name, tar.REGULAR, mode=0o100644, mtime=mtime, size=size)
    record = pax.record(b"size", b"%d" % size)
    head, _, base = name.rpartition("/")
    extension = _block(f"{head}/PaxHeaders.0/{base}"[-99:], tar.PAX, size=len(record))
    return extension + record + padding(len(record)) + _block(name, tar.REGULAR, mode=0o100644, mtime=mtime)


def _block(name: str, kind: bytes, *, mode: int = 0, mtime: int = 0, size: int = 0, target: str = "") -> bytes:
    zero = b"%07o\0" % 0
    block = tar.FIELDS.pack(
        name.encode(), b"%07o\0" % mode, zero, zero, b"%011o\0" % size, b"%011o\0" % mtime, b" " * 8, kind,
        target.encode(), tar.USTAR_MAGIC, b"root", b"root", zero, zero, b"",
    )  # fmt: skip
    return block[:148] + b"%06o\0 " % tar.checksum(block) + block[156:]
