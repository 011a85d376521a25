"""Reading an archive front to back from chunks of any size, in bounded memory.

Semantics are those of Go's ``archive/tar`` wherever writers disagree, because the layers that exist were made to be
read by it: global PAX headers are checked but change nothing, the last of several PAX headers counts, links and
directories have no content whatever their size says, an archive may end without its two zero blocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lamina.tarball import header as tar
from lamina.tarball import pax, sparse
from lamina.tarball.header import BLOCK, ZERO_BLOCK, Header, InvalidTar
from lamina.typing import Protocol

#: Most bytes that the extension headers of one entry may have together.
_MAX_EXTENSIONS = 4 * pax.MAX_EXTENSION

_EXTENSIONS = frozenset((tar.PAX, tar.PAX_GLOBAL, tar.GNU_LONG_NAME, tar.GNU_LONG_LINK))


class Recorder(Protocol):
    """Who writes down everything that a reader sees, in order (:class:`lamina.tarball.tarsplit.Recorder`)."""

    def segment(self, data: bytes) -> None:
        """Bytes that are not the content of a file: headers, padding, the archive's end."""

    def content(self, data: bytes) -> None:
        """A piece of the current file's content."""

    def file(self, name: bytes, size: int) -> None:
        """The current entry is complete; ``size`` bytes of content were given."""


class TruncatedTar(InvalidTar):
    """The archive ends in the middle of something."""

    def __init__(self) -> None:
        super().__init__("archive/tar: unexpected EOF")


class TarReader:
    """Entries of an archive, one at a time: :meth:`next`, then :meth:`take` or :meth:`pieces`, then :meth:`next`.

    Content that is not taken is skipped. Every method raises :class:`InvalidTar` for malformed input, and what the
    source of the chunks raises.

    :param chunks: the archive's bytes, uncompressed.
    :param recorder: is told everything, for tar-split.
    """

    def __init__(self, chunks: Iterable[bytes], recorder: Recorder | None = None) -> None:
        self._chunks = iter(chunks)
        self._recorder = recorder
        self._buffer = b""
        self._position = 0
        self._left = 0
        self._padding = 0
        self._current: Header | None = None
        self._recorded_size = 0
        self._raw: list[bytes] = []
        self._budget = 0
        self._seen_global = False
        self._global_padding = 0
        self._anonymous = False

    def __iter__(self) -> Iterator[Header]:
        while (header := self.next()) is not None:
            yield header

    # Content

    def take(self, limit: int = 1 << 20) -> bytes:
        """The next piece of the current entry's stored content, at most ``limit`` bytes; empty at its end."""
        left = self._left
        if not left:
            return b""
        start = self._position
        buffer = self._buffer
        if start == len(buffer):
            buffer = self._fill()
            if not buffer:
                raise TruncatedTar
            start = 0
        count = min(left, limit, len(buffer) - start)
        data = buffer if count == len(buffer) else buffer[start : start + count]
        self._position = start + count
        self._left = left - count
        if self._recorder is not None:
            if self._recorded_size:
                self._recorder.content(data)
            else:
                self._recorder.segment(data)
        return data

    def pieces(self) -> Iterator[bytes]:
        """The rest of the current entry's stored content."""
        while piece := self.take():
            yield piece

    def content(self) -> Iterator[bytes | memoryview]:
        """The current entry's content as it will be on disk: holes of a sparse file as zeros."""
        current = self._current
        if current is None or current.sparse is None:
            return iter(self.pieces())
        return sparse.expand(current.sparse, current.size, self.pieces())

    def inline(self, *, anonymous: bool = False) -> None:
        """Record the current entry's content, of which nothing was taken yet, as bytes instead of as a file's.

        For what will not be found on disk under the entry's name. ``anonymous`` records no file at all: tar-split knows
        no two entries of one name.
        """
        self._recorded_size = 0
        self._anonymous = anonymous

    # Headers

    def next(self) -> Header | None:
        """The next entry, or ``None`` at the archive's end."""
        self._finish()
        start = self._position
        end = start + self._padding + BLOCK
        if end <= len(self._buffer):
            raw = self._buffer[start:end]
            self._position = end
            block = raw[self._padding :] if self._padding else raw
            self._raw = [raw]
        else:
            self._raw = []
            block = self._after_padding()
        self._padding = 0
        if not block or block == ZERO_BLOCK:
            self._end(block)
            return None
        header = tar.parse(block)
        if header.kind in _EXTENSIONS:
            header = self._extended(header)
        elif header.kind in (tar.OLD_REGULAR, tar.GNU_SPARSE):
            header = self._complete(block, header, {})
        elif header.kind in tar.HEADER_ONLY and header.stored:
            header = header._replace(size=0, stored=0)
        self._begin(header)
        if header.kind == tar.PAX_GLOBAL:
            self._padding = self._global_padding
        return header

    def drain(self) -> int:
        """Read what follows the archive's end up to the end of the chunks, and how many bytes that was.

        Padding, or anything: it belongs to the archive's digest, so a recorder is told.
        """
        count = 0
        while rest := self._gather(1 << 20):
            count += len(rest)
            if self._recorder is not None:
                self._recorder.segment(rest)
        return count

    def _begin(self, header: Header) -> None:
        self._current = header
        self._left = header.stored
        self._padding = -header.stored % BLOCK
        if self._recorder is not None:
            raw = self._raw
            self._recorder.segment(raw[0] if len(raw) == 1 else b"".join(raw))
            # The parts of a sparse file can't be told apart again on disk, so they are kept as they came.
            self._recorded_size = 0 if header.sparse is not None else header.stored

    def _finish(self) -> None:
        """Skip what is left of the current entry and record it."""
        while self._left:
            self.take()
        current = self._current
        if current is not None:
            self._current = None
            if self._recorder is not None and not self._anonymous:
                self._recorder.file(current.name, self._recorded_size)
        self._anonymous = False

    def _end(self, block: bytes) -> None:
        """At the end: a first zero block or nothing. A second zero block or nothing must follow."""
        if block:
            second = self._block()
            if second and second != ZERO_BLOCK:
                raise InvalidTar("archive/tar: invalid tar header: a single zero block")
        if self._recorder is not None and self._raw:
            self._recorder.segment(b"".join(self._raw))

    # Extensions

    def _extended(self, header: Header) -> Header:
        """Read extension headers and the header that they are about, and merge them."""
        records: dict[bytes, bytes] = {}
        long_name: bytes | None = None
        long_link: bytes | None = None
        self._budget = _MAX_EXTENSIONS
        while header.kind in _EXTENSIONS:
            if header.kind == tar.PAX_GLOBAL:
                return self._global(header)
            data = self._extension_data(header.stored, -header.stored % BLOCK)
            if header.kind == tar.PAX:
                records = pax.parse(data)
            elif header.kind == tar.GNU_LONG_NAME:
                long_name = tar.text(data)
            else:
                long_link = tar.text(data)
            block = self._block()
            if not block or block == ZERO_BLOCK:
                raise TruncatedTar
            header = tar.parse(block)
        header = _merge(header, records)
        if long_name:
            header = header._replace(name=long_name)
        if long_link:
            header = header._replace(linkname=long_link)
        return self._complete(block, header, records)

    def _global(self, header: Header) -> Header:
        """A global header is an entry of its own, and its padding is in front of the next one, as in tar-split."""
        records = pax.parse(self._extension_data(header.stored, 0))
        self._anonymous = self._seen_global
        self._seen_global = True
        self._global_padding = -header.stored % BLOCK
        return Header(records.get(b"path") or header.name, tar.PAX_GLOBAL)

    def _complete(self, block: bytes, header: Header, records: dict[bytes, bytes]) -> Header:
        """Settle the kind, the size and the sparse map once everything about the entry is known."""
        kind = header.kind
        if kind == tar.OLD_REGULAR:
            kind = tar.DIRECTORY if header.name.endswith(b"/") else tar.REGULAR
            header = header._replace(kind=kind)
        if kind in tar.HEADER_ONLY:
            return header._replace(size=0, stored=0)
        if kind == tar.GNU_SPARSE:
            size, regions = sparse.read_old(block, self._full_block)
            sparse.validate(regions, size, header.stored)
            return header._replace(kind=tar.REGULAR, size=size, sparse=regions)
        return self._pax_sparse(header, records) if records else header

    def _pax_sparse(self, header: Header, records: dict[bytes, bytes]) -> Header:
        major, minor = records.get(b"GNU.sparse.major"), records.get(b"GNU.sparse.minor")
        text = records.get(b"GNU.sparse.map")
        if (major, minor) == (b"1", b"0"):
            regions, taken = sparse.read_1_0(self._stored_block(header.stored))
        elif (major, minor) in ((b"0", b"0"), (b"0", b"1")) or (not major and not minor and text):
            regions, taken = pax.sparse_numbers(text or b""), 0
            count = records.get(b"GNU.sparse.numblocks")
            if count is None or pax.integer(count) * 2 != len(regions):
                raise InvalidTar("archive/tar: invalid tar header: sparse map")
        else:
            return header
        real = records.get(b"GNU.sparse.size") or records.get(b"GNU.sparse.realsize")
        size = pax.integer(real) if real else header.size
        stored = header.stored - taken
        sparse.validate(regions, size, stored)
        name = records.get(b"GNU.sparse.name") or header.name
        return header._replace(name=name, size=size, stored=stored, sparse=regions)

    def _stored_block(self, stored: int) -> _Limited:
        return _Limited(self, stored)

    def _extension_data(self, size: int, padding: int) -> bytes:
        """The content of an extension header; its padding is read with it and left out."""
        padded = size + padding
        self._budget -= padded
        if size > pax.MAX_EXTENSION or self._budget < 0:
            raise InvalidTar(f"archive/tar: header field too long: extension header of {size} bytes")
        data = self._gather(padded)
        if len(data) < padded:
            raise TruncatedTar
        self._raw.append(data)
        return data[:size]

    # Bytes

    def _block(self) -> bytes:
        """The next block; empty at the end of the chunks."""
        block = self._gather(BLOCK)
        if block:
            if len(block) < BLOCK:
                raise TruncatedTar
            self._raw.append(block)
        return block

    def _full_block(self) -> bytes:
        block = self._block()
        if not block:
            raise TruncatedTar
        return block

    def _after_padding(self) -> bytes:
        """The next block when padding and block are not in one chunk. The last padding may be missing."""
        if self._padding:
            self._raw.append(self._gather(self._padding))
        return self._block()

    def _gather(self, count: int) -> bytes:
        """``count`` bytes across chunks, fewer at the end of the chunks."""
        end = self._position + count
        if end <= len(self._buffer):
            data = self._buffer[self._position : end]
            self._position = end
            return data
        parts = [self._buffer[self._position :]]
        missing = count - len(parts[0])
        while missing:
            chunk = self._fill()
            if not chunk:
                break
            parts.append(chunk[:missing])
            self._position = len(parts[-1])
            missing -= len(parts[-1])
        return b"".join(parts)

    def _fill(self) -> bytes:
        """Take the next chunk that is not empty as the buffer; empty at the end."""
        self._buffer = b""
        for chunk in self._chunks:
            if chunk:
                self._buffer = chunk
                break
        self._position = 0
        return self._buffer


class _Limited:
    """Blocks from the front of an entry's content, for a map that is stored there."""

    def __init__(self, reader: TarReader, stored: int) -> None:
        self._reader = reader
        self._left = stored

    def __call__(self) -> bytes:
        self._left -= BLOCK
        if self._left < 0:
            raise InvalidTar("archive/tar: invalid tar header: sparse map")
        return self._reader._full_block()


def _merge(header: Header, records: dict[bytes, bytes]) -> Header:
    """``header`` with what its PAX records override. An empty value leaves the header's own, as in Go."""
    changes: dict[str, object] = {}
    for key, value in records.items():
        if not value:
            continue
        if key == b"path":
            changes["name"] = value
        elif key == b"linkpath":
            changes["linkname"] = value
        elif key in (b"uname", b"gname"):
            changes[key.decode()] = value
        elif key in (b"uid", b"gid"):
            changes[key.decode()] = pax.integer(value)
        elif key in (b"mtime", b"atime"):
            changes[key.decode()] = pax.time(value)
        elif key == b"size":
            size = pax.integer(value)
            if size < 0:
                raise InvalidTar(f"archive/tar: invalid tar header: size {size}")
            changes["size"] = changes["stored"] = size
    changes["xattrs"] = pax.xattrs(records)
    return header._replace(**changes)  # type: ignore[arg-type]  # one value type per field, by construction
