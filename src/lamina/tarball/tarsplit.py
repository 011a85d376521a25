"""tar-split: what is needed beside a layer's files to get back the exact bytes of its tar.

Format: ``vbatts/tar-split``, ``tar/storage``: gzip of JSON lines in the order of the archive. Type 2 is a segment, raw
bytes in base 64; type 1 a file, whose content is read from the layer's directory and whose payload is the CRC-64 (ISO
3309, initial value and output inverted) of that content, big endian, in base 64. ``position`` counts the lines. A name
that isn't UTF-8 stands in ``name_raw`` in base 64. Docker keeps it as ``layerdb/sha256/<chain id>/tar-split.json.gz``.
"""

from __future__ import annotations

import os
import re
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Iterable, Iterator

from lamina import json
from lamina.errors import Corrupt
from lamina.oci import gojson
from lamina.tarball.compression import CorruptStream, decompress, read_chunks
from lamina.tarball.writer import gathered
from lamina.typing import NamedTuple

#: Raw bytes per segment line at most, so that whoever reads it back needs little memory.
MAX_SEGMENT = 1 << 20

#: Longest line that is believed: a segment of 1 MiB in base 64; Docker's own may be larger for long PAX headers.
_MAX_LINE = 64 << 20

#: Bytes of a file that are read at a time.
_PIECE = 1 << 20

#: What is written to the sink at a time.
_BATCH = 1 << 18

_FILE = 1
_SEGMENT = 2

_SEGMENT_START = b'{"type":2,"payload":"'

#: How nearly every file's line looks; the others go through the JSON parser.
_FILE_LINE = re.compile(
    rb'\{"type":1,"name":"([^"\\]*)",(?:"size":(\d{1,18}),)?"payload":(?:"([A-Za-z0-9+/=]*)"|null),"position":\d+\}\Z'
)

_PLAIN_NAME = re.compile(rb"[ !#-%'-;=?-\[\]-~]*\Z")


class CorruptTarSplit(Corrupt):
    """The tar-split file is malformed, or a file in the layer is not what it was when the layer was made."""


def _name_member(name: bytes) -> bytes:
    if _PLAIN_NAME.match(name):
        return b'"name":"' + name + b'",' if name else b""
    try:
        return b'"name":' + gojson.encode(name.decode()) + b","
    except UnicodeDecodeError:
        return b'"name_raw":"' + b2a_base64(name, newline=False) + b'",'


class Recorder:
    """Writes down what a :class:`~lamina.tarball.reader.TarReader` sees.

    :param write: gets the uncompressed JSON lines in batches.
    """

    def __init__(self, write: Callable[[bytes], object]) -> None:
        from fastcrc.crc64 import go_iso

        self._checksum = go_iso
        self._write = write
        self._lines: list[bytes] = []
        self._pending = 0
        self._position = 0
        self._crc: int | None = None

    def segment(self, data: bytes) -> None:
        if len(data) > MAX_SEGMENT:
            for start in range(0, len(data), MAX_SEGMENT):
                self.segment(data[start : start + MAX_SEGMENT])
            return
        self._add(b'{"type":2,"payload":"%b","position":%d}\n' % (b2a_base64(data, newline=False), self._position))

    def content(self, data: bytes) -> None:
        self._crc = self._checksum(data, self._crc)

    def file(self, name: bytes, size: int) -> None:
        if size:
            payload = b2a_base64((self._crc or 0).to_bytes(8, "big"), newline=False)
            line = b'{"type":1,%b"size":%d,"payload":"%b","position":%d}\n' % (
                _name_member(name),
                size,
                payload,
                self._position,
            )
            self._crc = None
        else:
            line = b'{"type":1,%b"payload":null,"position":%d}\n' % (_name_member(name), self._position)
        self._add(line)

    def small(self, header: bytes, name: bytes, content: bytes) -> None:
        """:meth:`segment`, :meth:`content` and :meth:`file` of a file with a plain name, all at once."""
        if not content:
            self.segment(header)
            self.file(name, 0)
            return
        position = self._position
        self._position = position + 1
        self._add(
            b'{"type":2,"payload":"%b","position":%d}\n{"type":1,%b"size":%d,"payload":"%b","position":%d}\n'
            % (
                b2a_base64(header, newline=False),
                position,
                _name_member(name),
                len(content),
                b2a_base64(self._checksum(content).to_bytes(8, "big"), newline=False),
                position + 1,
            )
        )

    def _add(self, line: bytes) -> None:
        self._position += 1
        self._lines.append(line)
        self._pending += len(line)
        if self._pending >= _BATCH:
            self.flush()

    def close(self) -> None:
        """End the record: Docker's has one last, empty segment."""
        self.segment(b"")
        self.flush()

    def flush(self) -> None:
        if self._lines:
            self._write(b"".join(self._lines))
            self._lines.clear()
            self._pending = 0


class Entry(NamedTuple):
    """One line. ``payload`` is raw bytes: a segment's, or the CRC of a file."""

    is_file: bool
    name: bytes
    size: int
    payload: bytes


def read(path: str) -> Iterator[Entry]:
    """The entries of the tar-split file at ``path``. Raises :class:`CorruptTarSplit`."""
    with open(path, "rb", buffering=0) as stream:
        try:
            for line in _lines(decompress(read_chunks(stream))):
                yield parse_line(line)
        except CorruptStream as error:
            raise CorruptTarSplit(f"{path}: {error}") from error


def tar_size(path: str) -> int:
    """Bytes of the archive that the tar-split file at ``path`` describes. Raises :class:`CorruptTarSplit`."""
    total = 0
    with open(path, "rb", buffering=0) as stream:
        try:
            for line in _lines(decompress(read_chunks(stream))):
                total += _described(line)
        except CorruptStream as error:
            raise CorruptTarSplit(f"{path}: {error}") from error
    return total


def _described(line: bytes) -> int:
    """Bytes of the archive that one line stands for; a segment need not be decoded to know."""
    if line.startswith(_SEGMENT_START):
        end = line.find(b'"', len(_SEGMENT_START))
        digits = end - len(_SEGMENT_START)
        if digits >= 0 and digits % 4 == 0:
            return digits // 4 * 3 - (line.count(b"=", end - 2, end) if digits else 0)
    entry = parse_line(line)
    return entry.size if entry.is_file else len(entry.payload)


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Lines, without their ends, from ``chunks``. What follows the last line end is ignored, as Docker does."""
    rest = b""
    for chunk in chunks:
        lines = (rest + chunk).split(b"\n")
        rest = lines.pop()
        if len(rest) > _MAX_LINE:
            raise CorruptTarSplit("tar-split: malformed line: too long")
        yield from lines


def parse_line(line: bytes) -> Entry:
    """One line. Raises :class:`CorruptTarSplit`."""
    try:
        if line.startswith(_SEGMENT_START):  # half of all lines; they need no JSON parser
            end = line.index(b'"', len(_SEGMENT_START))
            return Entry(False, b"", 0, a2b_base64(line[len(_SEGMENT_START) : end], strict_mode=True))
        if match := _FILE_LINE.match(line):
            return Entry(True, match[1], int(match[2] or 0), a2b_base64(match[3] or b""))
        document = json.loads(line)
        kind = document["type"]
        name = (
            a2b_base64(document["name_raw"], strict_mode=True)
            if document.get("name_raw")
            else document.get("name", "").encode()
        )
        payload = a2b_base64(document.get("payload") or "", strict_mode=True)
        size = document.get("size", 0)
    except (ValueError, KeyError, TypeError, AttributeError, Base64Error, RecursionError) as error:
        raise CorruptTarSplit(f"tar-split: malformed line: {error}") from error
    if kind not in (_FILE, _SEGMENT) or not isinstance(size, int) or size < 0:
        raise CorruptTarSplit(f"tar-split: malformed line: type {kind!r}, size {size!r}")
    return Entry(kind == _FILE, name, size, payload)


def assemble(path: str, open_file: Callable[[bytes], int]) -> Iterator[bytes]:
    """The archive's bytes again.

    :param path: the tar-split file.
    :param open_file: gives a descriptor, to be closed here, for a file of the layer by its name in the archive.
    Raises :class:`CorruptTarSplit` when a file's size or CRC is not what was recorded.
    """
    return assemble_entries(read(path), open_file)


def assemble_entries(lines: Iterable[Entry], open_file: Callable[[bytes], int]) -> Iterator[bytes]:
    """:func:`assemble` from entries. Small pieces are gathered into chunks."""
    return gathered(_pieces(lines, open_file))


def _pieces(lines: Iterable[Entry], open_file: Callable[[bytes], int]) -> Iterator[bytes]:
    for entry in lines:
        if not entry.is_file:
            yield entry.payload
        elif entry.size:
            yield from _content(entry, open_file)


def _content(entry: Entry, open_file: Callable[[bytes], int]) -> Iterator[bytes]:
    """A file's content, verified. One byte more is asked for than was recorded: the file may have grown."""
    from fastcrc.crc64 import go_iso

    name = os.fsdecode(entry.name)
    try:
        descriptor = open_file(entry.name)
    except OSError as error:
        raise CorruptTarSplit(f"file integrity checksum failed for {name!r}: {error.strerror}") from error
    try:
        crc: int | None = None
        left = entry.size
        while left:
            piece = os.read(descriptor, left + 1 if left <= _PIECE else _PIECE)
            if len(piece) > left:
                raise CorruptTarSplit(f"file integrity checksum failed for {name!r}: it has grown")
            if not piece:
                raise CorruptTarSplit(f"file integrity checksum failed for {name!r}: {left} bytes are missing")
            left -= len(piece)
            crc = go_iso(piece, crc)
            yield piece
    finally:
        os.close(descriptor)
    if (crc or 0).to_bytes(8, "big") != entry.payload:
        raise CorruptTarSplit(f"file integrity checksum failed for {name!r}")
