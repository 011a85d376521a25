"""Writing archives as Docker's layers are: plain ustar headers, and a PAX header in front where they can't say it.

What Go's ``archive/tar`` produces for ``FormatPAX``, so that the same files give the same bytes: no owner names unless
given, zeroed device numbers, records in order of their keys, PAX header names ``<dir>/PaxHeaders.0/<base>``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from zlib import adler32

from lamina.tarball import header as tar
from lamina.tarball import pax
from lamina.tarball.header import BLOCK, Header

#: Two zero blocks end an archive.
END = bytes(2 * BLOCK)

#: Bytes that are put together at least.
_BATCH = 1 << 18

_MAX_OCTAL_12 = 8**11 - 1
_MAX_OCTAL_8 = 8**7 - 1


def padding(size: int) -> bytes:
    """The zeros that follow ``size`` bytes of content."""
    return bytes(-size % BLOCK)


def gathered(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Headers and small files put together, so that a reader gets chunks worth its while."""
    batch: list[bytes] = []
    pending = 0
    for piece in pieces:
        batch.append(piece)
        pending += len(piece)
        if pending >= _BATCH:
            yield b"".join(batch)
            batch.clear()
            pending = 0
    if pending:
        yield b"".join(batch)


def encode(header: Header) -> bytes:
    """The block or blocks in front of an entry's content. ``header.size`` bytes must follow, then :func:`padding`.

    Raises ``ValueError`` when a value fits no format: a NUL in a name, a device number above 2 million.
    """
    records = _records(header)
    main = _block(header, header.kind, _ascii(header.name), header.size)
    if not records:
        return main
    data = b"".join(pax.record(key, records[key]) for key in sorted(records))
    directory, slash, base = header.name.rstrip(b"/").rpartition(b"/")
    name = _ascii((directory + slash if directory else slash) + b"PaxHeaders.0/" + base)
    extension = _block(Header(b"", tar.PAX), tar.PAX, name[:100].rstrip(b"/"), len(data))
    return extension + data + padding(len(data)) + main


def plain_file(path: bytes, status: os.stat_result) -> bytes | None:
    """:func:`encode` of a regular file, in whole seconds and without names of owners, at a fraction of its time.

    ``None`` for what needs more than one block.
    """
    uid, gid, size, seconds = status.st_uid, status.st_gid, status.st_size, status.st_mtime_ns // 1_000_000_000
    if len(path) > 100 or not path.isascii() or not 0 <= seconds <= _MAX_OCTAL_12 or size > _MAX_OCTAL_12:
        return None
    if uid > _MAX_OCTAL_8 or gid > _MAX_OCTAL_8:
        return None
    numbers = b"%07o\0%07o\0%07o\0%011o\0%011o\0" % (status.st_mode & 0o7777, uid, gid, size, seconds)
    front = path.ljust(100, b"\0") + numbers
    # Adler-32's low half is one more than the sum of the bytes, which can't reach its modulus in so few.
    return b"%b%06o\0 %b" % (front, (adler32(front) & 0xFFFF) + _PLAIN_REST, _PLAIN_TAIL)


def archive(entries: Iterable[tuple[Header, Iterable[bytes]]]) -> Iterator[bytes]:
    """A whole archive from headers and their contents."""
    for header, content in entries:
        yield encode(header)
        written = 0
        for piece in content:
            written += len(piece)
            yield piece
        if written != header.size:
            raise ValueError(f"{header.name!r}: {written} bytes instead of {header.size}")
        if written:
            yield padding(written)
    yield END


def _ascii(value: bytes) -> bytes:
    """What a ustar field can hold of ``value``: characters above 127 are left out, as Go does."""
    return value if value.isascii() else bytes(byte for byte in value if byte < 0x80)


def _records(header: Header) -> dict[bytes, bytes]:
    """What only a PAX header can say."""
    records: dict[bytes, bytes] = {}
    for key, value, limit in (
        (b"path", header.name, 100),
        (b"linkpath", header.linkname, 100),
        (b"uname", header.uname, 32),
        (b"gname", header.gname, 32),
    ):
        if b"\0" in value:
            raise ValueError(f"NUL in {key.decode()} of {header.name!r}")
        if len(value) > limit or not value.isascii():
            records[key] = value
    for key, count, largest in (
        (b"size", header.size, _MAX_OCTAL_12),
        (b"uid", header.uid, _MAX_OCTAL_8),
        (b"gid", header.gid, _MAX_OCTAL_8),
    ):
        if not 0 <= count <= largest:
            records[key] = b"%d" % count
    if header.mtime % 1_000_000_000 or not 0 <= header.mtime // 1_000_000_000 <= _MAX_OCTAL_12:
        records[b"mtime"] = pax.format_time(header.mtime)
    if header.atime is not None:
        records[b"atime"] = pax.format_time(header.atime)
    for name, content in (header.xattrs or {}).items():
        if b"=" in name or b"\0" in name or not name:
            raise ValueError(f"extended attribute {name!r} of {header.name!r} has no place in a PAX header")
        records[b"SCHILY.xattr." + name] = content
    return records


def _octal(value: int, width: int) -> bytes:
    """``width`` bytes with the final NUL; 0 for what does not fit, which a PAX record says then."""
    if not 0 <= value < 8 ** (width - 1):
        value = 0
    return b"%0*o\0" % (width - 1, value)


def _block(header: Header, kind: bytes, name: bytes, size: int) -> bytes:
    if max(header.major, header.minor) > _MAX_OCTAL_8:
        raise ValueError(f"device number of {header.name!r} is too large for a tar header")
    fields = (
        name[:100],
        _octal(header.mode, 8),
        _octal(header.uid, 8),
        _octal(header.gid, 8),
        _octal(size, 12),
        _octal(header.mtime // 1_000_000_000, 12),
        b" " * 8,
        kind,
        _ascii(header.linkname)[:100],
        tar.USTAR_MAGIC,
        _ascii(header.uname)[:32],
        _ascii(header.gname)[:32],
        _octal(header.major, 8),
        _octal(header.minor, 8),
        b"",
    )
    block = tar.FIELDS.pack(*fields)
    return block[:148] + b"%06o\0 " % tar.checksum(block) + block[156:]


#: What follows the checksum in the block of every plain file, and what it and the checksum's own field add to the sum.
_PLAIN_TAIL = encode(Header(b""))[156:]
_PLAIN_REST = sum(_PLAIN_TAIL) + 8 * ord(" ") - 1
