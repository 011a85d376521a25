"""What one tar entry says about itself, and how its 512-byte block is read.

Formats: POSIX.1-1988 (ustar), POSIX.1-2001 (pax), GNU tar's manual ("Basic Tar Format"); where they leave a choice,
what Go's ``archive/tar`` accepts, because that is what Docker reads layers with.
"""

from __future__ import annotations

import re
import struct
from array import array
from zlib import adler32

from lamina.errors import Corrupt
from lamina.typing import NamedTuple

BLOCK = 512
ZERO_BLOCK = bytes(BLOCK)

# Type flags.
REGULAR = b"0"
HARD_LINK = b"1"
SYMLINK = b"2"
CHARACTER = b"3"
BLOCK_DEVICE = b"4"
DIRECTORY = b"5"
FIFO = b"6"
CONTIGUOUS = b"7"
PAX = b"x"
PAX_GLOBAL = b"g"
GNU_SPARSE = b"S"
GNU_LONG_NAME = b"L"
GNU_LONG_LINK = b"K"
OLD_REGULAR = b"\0"

#: Entries that have no content, whatever their size field says.
HEADER_ONLY = frozenset((HARD_LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO))

DEVICES = frozenset((CHARACTER, BLOCK_DEVICE))

#: name mode uid gid size mtime checksum type linkname magic+version uname gname major minor prefix
FIELDS = struct.Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12x")

USTAR_MAGIC = b"ustar\x0000"

_MAX_INT64 = (1 << 63) - 1


class InvalidTar(Corrupt):
    """The bytes are not a tar archive, or one that says impossible things."""


class Header(NamedTuple):
    """One entry of an archive.

    :ivar name: path as the archive has it: not normalised, perhaps hostile.
    :ivar kind: one of the type flags above; old and GNU spellings of a regular file are :data:`REGULAR`.
    :ivar size: bytes of content after extraction; 0 for what has no content.
    :ivar stored: bytes of content in the archive; differs from ``size`` for sparse files only.
    :ivar mtime: nanoseconds since the epoch. ``atime`` is ``None`` when the archive does not say.
    :ivar xattrs: extended attributes by full name (``security.capability``).
    :ivar sparse: offset, length, offset, length, ... of the stored parts, ascending; ``None`` when not sparse.
    """

    name: bytes
    kind: bytes = REGULAR
    size: int = 0
    mode: int = 0
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    linkname: bytes = b""
    stored: int = 0
    major: int = 0
    minor: int = 0
    uname: bytes = b""
    gname: bytes = b""
    atime: int | None = None
    xattrs: dict[bytes, bytes] | None = None
    sparse: array[int] | None = None


def checksum(block: bytes) -> int:
    """Sum of the block's bytes with the checksum field taken as spaces.

    Adler-32's low half is one more than the sum of the bytes, modulo 65521; half a block can't reach that.
    """
    halves = (adler32(block[:256]) & 0xFFFF) + (adler32(block[256:]) & 0xFFFF)
    return halves - (adler32(block[148:156]) & 0xFFFF) - 1 + 8 * 0x20


def _signed_checksum(block: bytes) -> int:
    """The sum as some old writers took it: bytes as signed characters."""
    plain = block[:148] + b" " * 8 + block[156:]
    return sum(byte - 256 if byte > 127 else byte for byte in plain)


def text(field: bytes) -> bytes:
    """A string field up to its NUL."""
    return field.partition(b"\0")[0]


_NO_NUMBER = "archive/tar: invalid tar header: there is no number where one should be; is it a tar archive?"


def octal(field: bytes) -> int:
    """An octal field; spaces and NULs around it don't count, an empty one is 0."""
    digits = text(field.strip(b" \0"))
    if not digits:
        return 0
    # int() would take signs, underscores and a 0o prefix.
    if not digits.isdigit():
        raise InvalidTar(_NO_NUMBER)
    try:
        return int(digits, 8)
    except ValueError:
        raise InvalidTar(_NO_NUMBER) from None


def number(field: bytes) -> int:
    """A numeric field: octal, or GNU's base 256 when the first bit is set (two's complement)."""
    if not field[0] & 0x80:
        return octal(field)
    value = int.from_bytes(field, "big") & ((1 << (8 * len(field) - 1)) - 1)
    if field[0] & 0x40:
        value -= 1 << (8 * len(field) - 1)
    if not -_MAX_INT64 - 1 <= value <= _MAX_INT64:
        raise InvalidTar(f"archive/tar: invalid tar header: number {field!r} does not fit 64 bits")
    return value


#: Size, time and checksum as nearly every writer spells them: 11, 11 and 6 octal digits.
_USUAL_NUMBERS = re.compile(rb"([0-7]{11})[\0 ]([0-7]{11})[\0 ]([0-7]{6})\0 ")

#: Mode, user and group by the bytes of the three fields: they repeat from entry to entry.
_owners: dict[bytes, tuple[int, int, int]] = {}


def _mode_and_owner(fields: bytes) -> tuple[int, int, int]:
    found = _owners.get(fields)
    if found is None:
        found = number(fields[:8]), number(fields[8:16]), number(fields[16:])
        if len(_owners) < 4096:
            _owners[fields] = found
    return found


def parse(block: bytes) -> Header:
    """Read one header block on its own, without what extension headers before it said.

    ``stored`` is the size field whatever the kind; names are as in the block, the ustar prefix joined.
    Raises :class:`InvalidTar`.
    """
    usual = _USUAL_NUMBERS.match(block, 124)
    if usual is not None:
        digits, seconds, check = usual.groups()
        size, mtime, stated = int(digits, 8), int(seconds, 8), int(check, 8)
    else:
        size, mtime, stated = number(block[124:136]), number(block[136:148]), octal(block[148:156])
    if stated != checksum(block) and stated != _signed_checksum(block):
        raise InvalidTar("archive/tar: invalid tar header: checksum does not match")
    if size < 0:
        raise InvalidTar(f"archive/tar: invalid tar header: size {size}")
    mode, uid, gid = _mode_and_owner(block[100:124])
    kind = block[156:157]
    name = block[:100].partition(b"\0")[0]
    linkname = block[157:257].partition(b"\0")[0] if block[157] else b""
    uname = gname = b""
    major = minor = 0
    magic = block[257:265]
    if magic[:5] == b"ustar":
        if block[265] or block[297]:
            uname, gname = text(block[265:297]), text(block[297:329])
        if kind in DEVICES:
            major, minor = number(block[329:337]), number(block[337:345])
        if block[345] and magic[:6] == USTAR_MAGIC[:6]:
            star = block[508:] == b"tar\0"
            name = text(block[345:476] if star else block[345:500]) + b"/" + name
    return Header(name, kind, size, mode, uid, gid, mtime * 1_000_000_000, linkname, size, major, minor, uname, gname)
