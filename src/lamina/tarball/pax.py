"""Extended header records of POSIX.1-2001: ``"%d %s=%s\\n"``, the number counting the whole record.

Source: POSIX ``pax``, "pax Extended Header"; GNU tar's manual, "Storing Sparse Files"; libarchive's ``tar(5)``.
"""

from __future__ import annotations

import re
from array import array

from lamina.tarball.header import InvalidTar

#: Most bytes of one extended header or GNU long name, as in Go: a header can't claim gigabytes of memory.
MAX_EXTENSION = 1 << 20

_TIME = re.compile(rb"(-?)(\d{1,18})(?:\.(\d*))?\Z")
_INTEGER = re.compile(rb"-?\d{1,19}\Z")
_NO_NUL = frozenset((b"path", b"linkpath", b"uname", b"gname"))
_SCHILY = b"SCHILY.xattr."
_LIBARCHIVE = b"LIBARCHIVE.xattr."


def _invalid(why: str) -> InvalidTar:
    return InvalidTar(f"archive/tar: invalid tar header: PAX record: {why}")


def parse(data: bytes) -> dict[bytes, bytes]:
    """Records by key; a later one wins.

    The pairs of sparse format 0.0, whose keys repeat, come back as one ``GNU.sparse.map`` as in format 0.1.
    Raises :class:`InvalidTar`.
    """
    records: dict[bytes, bytes] = {}
    pairs: list[bytes] = []
    position = 0
    while position < len(data):
        space = data.find(b" ", position, position + 8)
        digits = data[position:space]
        if space < 0 or not digits.isdigit():
            raise _invalid("length is missing")
        end = position + int(digits)
        if end > len(data) or end <= space + 1 or data[end - 1] != 0x0A:
            raise _invalid("length does not fit")
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if not equals or not key or b"\0" in key or (key in _NO_NUL and b"\0" in value):
            raise _invalid(f"key {key[:80]!r}")
        position = end
        if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
            if (key == b"GNU.sparse.numbytes") != bool(len(pairs) % 2):
                raise _invalid("sparse offsets and lengths do not alternate")
            pairs.append(value)
        else:
            records[key] = value
    if pairs:
        records[b"GNU.sparse.map"] = b",".join(pairs)
    return records


def integer(value: bytes) -> int:
    """A decimal number that fits 64 bits."""
    if not _INTEGER.match(value) or not -(1 << 63) <= int(value) < 1 << 63:
        raise _invalid(f"number {value[:40]!r}")
    return int(value)


def time(value: bytes) -> int:
    """Seconds with a fraction, as nanoseconds; more digits than nine are cut off."""
    match = _TIME.match(value)
    if match is None:
        raise _invalid(f"time {value[:40]!r}")
    sign, seconds, fraction = match.groups()
    nanoseconds = int(seconds) * 1_000_000_000 + int((fraction or b"")[:9].ljust(9, b"0"))
    return -nanoseconds if sign else nanoseconds


def xattrs(records: dict[bytes, bytes]) -> dict[bytes, bytes] | None:
    """Extended attributes, by name; ``None`` when there are none. ``SCHILY`` wins over libarchive's own spelling."""
    found: dict[bytes, bytes] = {}
    for key, value in records.items():
        if key.startswith(_LIBARCHIVE):
            name, content = _libarchive(key, value)
            found.setdefault(name, content)
        elif key.startswith(_SCHILY):
            found[key[len(_SCHILY) :]] = value
    return found or None


def _libarchive(key: bytes, value: bytes) -> tuple[bytes, bytes]:
    """libarchive spells an attribute's name as in a URL and its value in base 64, often without padding."""
    from binascii import Error, a2b_base64
    from urllib.parse import unquote_to_bytes

    try:
        return unquote_to_bytes(key[len(_LIBARCHIVE) :]), a2b_base64(value + b"=" * (-len(value) % 4))
    except Error:
        raise _invalid(f"key {key[:80]!r}: not base64") from None


def sparse_numbers(text: bytes) -> array[int]:
    """The comma-separated numbers of ``GNU.sparse.map``."""
    numbers = array("q")
    if text:
        for part in text.split(b","):
            numbers.append(integer(part))
    return numbers


def record(key: bytes, value: bytes) -> bytes:
    """Format one record; its length counts its own digits."""
    body = b" " + key + b"=" + value + b"\n"
    size = len(body)
    length = size + len(str(size))
    if len(str(length)) != len(str(size)):
        length += 1
    return b"%d" % length + body


def format_time(nanoseconds: int) -> bytes:
    """Seconds with as many decimals as are needed."""
    sign = "-" if nanoseconds < 0 else ""
    seconds, fraction = divmod(abs(nanoseconds), 1_000_000_000)
    decimals = f".{fraction:09d}".rstrip("0") if fraction else ""
    return f"{sign}{seconds}{decimals}".encode()
