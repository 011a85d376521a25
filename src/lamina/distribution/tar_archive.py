"""An image archive in one tar file, read by offset.

One pass over the headers finds where each file lies; content is never read on the way.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator

from lamina.contextlib import contextmanager
from lamina.distribution.content import Content, InvalidArchive, Slice, normal_name
from lamina.tarball import header as tar
from lamina.tarball.reader import TarReader, TruncatedTar
from lamina.typing import NamedTuple

#: More entries than any image has files in its archive; each costs memory.
_ENTRY_LIMIT = 1 << 16
_NAME_LIMIT = 4096
_LINK_LIMIT = 8

#: Documents that decide what the archive is: two of a name would let two readers see different images.
_UNIQUE = frozenset(("manifest.json", "index.json", "oci-layout", "repositories"))


class _Member(NamedTuple):
    """``link``: name of the entry that this one stands for, ``""`` for a file."""

    offset: int
    size: int
    link: str = ""


class TarArchive:
    """:class:`lamina.distribution.content.Archive` over an open file.

    :param descriptor: readable at any offset; stays open, and belongs to the caller.
    :param start: where the archive begins.
    """

    def __init__(self, descriptor: int, start: int = 0) -> None:
        self._descriptor = descriptor
        self._members: dict[str, _Member] = {}
        self._index(start)

    def has(self, name: str) -> bool:
        return self._members.get(normal_name(name)) is not None

    @contextmanager
    def open(self, name: str) -> Iterator[Content]:
        member = self._resolve(name)
        yield Slice(self._descriptor, member.offset, member.size, name)

    def _resolve(self, name: str) -> _Member:
        wanted = normal_name(name)
        for _ in range(_LINK_LIMIT):
            member = self._members.get(wanted)
            if member is None:
                raise InvalidArchive(f"invalid archive: it has no file {name!r}")
            if not member.link:
                return member
            wanted = member.link
        raise InvalidArchive(f"invalid archive: {name!r} is a link to itself or leads through too many links")

    def _index(self, start: int) -> None:
        size = os.fstat(self._descriptor).st_size
        position = start
        while True:
            blocks = _Blocks(self._descriptor, position)
            header = TarReader(blocks).next()
            if header is None:
                return
            self._add(header, blocks.position)
            position = blocks.position + header.stored + -header.stored % tar.BLOCK
            if blocks.position + header.stored > size:
                raise TruncatedTar
            if len(self._members) > _ENTRY_LIMIT:
                raise InvalidArchive(f"invalid archive: it has more than {_ENTRY_LIMIT} files")

    def _add(self, header: tar.Header, offset: int) -> None:
        if header.kind not in (tar.REGULAR, tar.CONTIGUOUS, tar.SYMLINK, tar.HARD_LINK):
            return
        if len(header.name) > _NAME_LIMIT or len(header.linkname) > _NAME_LIMIT:
            raise InvalidArchive("invalid archive: it has a name of more than 4096 bytes")
        name = normal_name(os.fsdecode(header.name))
        if name in _UNIQUE and name in self._members:
            raise InvalidArchive(f"invalid archive: it has {name} twice")
        if header.kind in (tar.SYMLINK, tar.HARD_LINK):
            self._members[name] = _Member(0, 0, _target(name, header))
        elif header.sparse is not None:
            raise InvalidArchive(f"invalid archive: {name} is a sparse file")
        else:
            self._members[name] = _Member(offset, header.stored)


def _target(name: str, header: tar.Header) -> str:
    """The entry that a link means. Docker links ``<id>/layer.tar`` to ``../<other id>/layer.tar``."""
    target = os.fsdecode(header.linkname)
    if header.kind == tar.HARD_LINK:
        return normal_name(target)
    if target.startswith("/"):
        raise InvalidArchive(f"invalid archive: {name!r} is a link out of it, to {target!r}")
    return normal_name(posixpath.normpath(posixpath.join(posixpath.dirname(name), target)))


class _Blocks:
    """Block after block from ``position`` on; ``position`` is then the offset behind what was taken."""

    def __init__(self, descriptor: int, position: int) -> None:
        self._descriptor = descriptor
        self.position = position

    def __iter__(self) -> Iterator[bytes]:
        while block := os.pread(self._descriptor, tar.BLOCK, self.position):
            self.position += len(block)
            yield block
