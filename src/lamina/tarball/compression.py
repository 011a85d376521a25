"""Compressed streams, told apart by their first bytes and decompressed here: no helper program is ever run.

An image chooses these bytes, so a chunk that comes out has at most :data:`CHUNK` bytes however well it was compressed,
and a stream that demands a huge window is refused. What follows a complete stream is another one of the same kind (gzip
members, zstd frames, xz and bzip2 streams) or an error, as in Go's readers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum

from lamina.errors import Corrupt
from lamina.typing import IO, Protocol, cast

#: Most bytes that come out at once.
CHUNK = 1 << 20

#: Compressed bytes given to a decompressor at once, and how many after a member has ended: a decompressor hands back
#: what it didn't use, so many tiny members in one large piece would be copied over and over.
_SLICE = 1 << 18
_SMALL_SLICE = 1 << 15

#: log2 of the largest zstd window, the ``zstd`` program's own limit (128 MiB).
_ZSTD_WINDOW_LOG = 27
#: Bytes of memory that an xz stream may demand; its highest preset, ``-9``, takes 65 MiB.
_XZ_MEMORY = 128 << 20


class Compression(Enum):
    """How a stream is compressed; the value is the suffix that Docker and ``tar`` give it."""

    NONE = ""
    GZIP = ".gz"
    ZSTD = ".zst"
    XZ = ".xz"
    BZIP2 = ".bz2"


#: Bytes that :func:`detect` needs to be sure.
MAGIC_LENGTH = 6


class CorruptStream(Corrupt):
    """A compressed stream is damaged, ends early, is followed by something else, or demands too much memory."""


class Decompressor(Protocol):
    """What the decompressors of isal, ``lzma``, ``bz2`` and ``zstd`` share: one member, stream or frame."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


def detect(prefix: bytes) -> Compression:
    """The compression of a stream that begins with ``prefix``, by its magic number, as Docker tells it."""
    if prefix.startswith(b"\x1f\x8b\x08"):
        return Compression.GZIP
    if prefix.startswith(b"\x28\xb5\x2f\xfd") or (prefix[1:4] == b"\x2a\x4d\x18" and prefix[0] & 0xF0 == 0x50):
        return Compression.ZSTD
    if prefix.startswith(b"\xfd7zXZ\0"):
        return Compression.XZ
    if prefix.startswith(b"BZh"):
        return Compression.BZIP2
    return Compression.NONE


def decompressor(compression: Compression) -> Decompressor:
    """A fresh decompressor for one member, stream or frame."""
    made: Decompressor
    if compression is Compression.GZIP:
        from isal.igzip_lib import DECOMP_GZIP, IgzipDecompressor

        made = IgzipDecompressor(flag=DECOMP_GZIP)
    elif compression is Compression.ZSTD:
        from backports.zstd import DecompressionParameter, ZstdDecompressor

        made = ZstdDecompressor(options={DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG})
    elif compression is Compression.XZ:
        from lzma import FORMAT_XZ, LZMADecompressor

        made = LZMADecompressor(format=FORMAT_XZ, memlimit=_XZ_MEMORY)
    elif compression is Compression.BZIP2:
        from bz2 import BZ2Decompressor

        made = BZ2Decompressor()
    else:
        raise ValueError("a plain stream has no decompressor")
    return made


def decompress(chunks: Iterable[bytes], compression: Compression | None = None) -> Iterator[bytes]:
    """The plain bytes of a stream, in chunks of at most :data:`CHUNK`.

    :param compression: ``None`` finds out from the first bytes.
    Raises :class:`CorruptStream`.
    """
    source = iter(chunks)
    if compression is None:
        prefix = _prefix(source)
        compression = detect(prefix)
        source = _chain(prefix, source)
    if compression is Compression.NONE:
        return _bounded(source)
    return _decompress(source, compression)


def _prefix(source: Iterator[bytes]) -> bytes:
    prefix = b""
    for chunk in source:
        prefix += chunk
        if len(prefix) >= MAGIC_LENGTH:
            break
    return prefix


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from rest


def _bounded(chunks: Iterable[bytes], limit: int = CHUNK) -> Iterator[bytes]:
    for chunk in chunks:
        if len(chunk) <= limit:
            if chunk:
                yield chunk
        else:
            for start in range(0, len(chunk), limit):
                yield chunk[start : start + limit]


def _decompress(source: Iterator[bytes], compression: Compression) -> Iterator[bytes]:
    name = compression.name.lower()
    try:
        yield from _members(_Pieces(_bounded(source, _SLICE)), compression)
    except _foreign_errors(compression) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the source's, not the decompressor's
            raise
        raise CorruptStream(f"{name}: invalid data: {error}") from error


class _Pieces:
    """Compressed bytes in pieces; a part of one can be given back and comes again in small ones."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._returned = memoryview(b"")

    def next(self) -> bytes:
        """The next piece; empty at the end."""
        if self._returned:
            piece = bytes(self._returned[:_SMALL_SLICE])
            self._returned = self._returned[_SMALL_SLICE:]
            return piece
        return next(self._pieces, b"")

    def shorten(self, data: bytes) -> bytes:
        """The front of ``data``, the last piece's end; the rest is given back. Short pieces stay whole."""
        if self._returned or len(data) <= _SMALL_SLICE:
            return data
        self._returned = memoryview(data)[_SMALL_SLICE:]
        return data[:_SMALL_SLICE]


def _members(pieces: _Pieces, compression: Compression) -> Iterator[bytes]:
    """Decompress member after member."""
    data = pieces.next()
    while data:
        member = decompressor(compression)
        while True:
            plain = member.decompress(data, CHUNK)
            data = b""
            if plain:
                yield plain
            if member.eof:
                break
            if member.needs_input:
                data = pieces.next()
                if not data:
                    raise CorruptStream(f"{compression.name.lower()}: unexpected EOF")
        data = pieces.shorten(_following(member.unused_data, pieces, compression))


def _following(rest: bytes, pieces: _Pieces, compression: Compression) -> bytes:
    """What follows a member: empty, or at least a magic number's length of another one."""
    while True:
        if compression is Compression.XZ:  # streams may have padding between them: xz file format, 2.2
            rest = rest.lstrip(b"\0")
        if len(rest) >= MAGIC_LENGTH:
            break
        more = pieces.next()
        if not more:
            break
        rest += more
    if rest and detect(rest) is not compression:
        raise CorruptStream(f"{compression.name.lower()}: invalid header: data after the end of the stream")
    return rest


def _foreign_errors(compression: Compression) -> tuple[type[Exception], ...]:
    """What the decompressor raises for bad data."""
    if compression is Compression.GZIP:
        from isal.igzip_lib import IsalError  # its type stub takes the class for an instance

        return (cast("type[Exception]", IsalError), EOFError)
    if compression is Compression.ZSTD:
        from backports.zstd import ZstdError

        return (ZstdError, EOFError)
    if compression is Compression.XZ:
        from lzma import LZMAError

        return (LZMAError, EOFError)
    return (ValueError, EOFError, OSError)  # bz2 raises a bare OSError


def read_chunks(stream: IO[bytes], size: int = CHUNK) -> Iterator[bytes]:
    """What is left of ``stream``, in chunks."""
    while chunk := stream.read(size):
        yield chunk


def open_stream(stream: IO[bytes]) -> Iterator[bytes]:
    """The plain bytes of ``stream`` in whatever compression it is. The caller closes ``stream``."""
    return decompress(read_chunks(stream))
