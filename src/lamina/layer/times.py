"""Times of files and directories while a layer is extracted."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from lamina.tarball.header import Header

#: Nanoseconds since the epoch that Docker believes: later or negative times become 0 (``pkg/system``, ``Chtimes``).
_LATEST = (1 << 63) - 1

_RECORD = struct.Struct("<qqI")


def file_times(header: Header) -> tuple[int, int]:
    """Access and modification time to set for an entry. Docker never sets the first before the second."""
    mtime = header.mtime
    if not 0 <= mtime <= _LATEST:
        mtime = 0
    atime = header.atime
    return (mtime, mtime) if atime is None or not mtime < atime <= _LATEST else (atime, mtime)


class DirectoryTimes:
    """Access and modification times to set once nothing is created in the directories any more.

    Packed: an image may have a million directories. Iterates over path and (access, modification) time in nanoseconds,
    in the order they were added.
    """

    def __init__(self) -> None:
        self._records = bytearray()
        #: Whether a directory was replaced by something else since it was added, so that a path may mean another thing.
        self.replaced = False

    def add(self, path: bytes, access: int, modification: int) -> None:
        self._records += _RECORD.pack(access, modification, len(path))
        self._records += path

    def __iter__(self) -> Iterator[tuple[bytes, tuple[int, int]]]:
        position = 0
        while position < len(self._records):
            access, modification, length = _RECORD.unpack_from(self._records, position)
            position += _RECORD.size
            yield bytes(self._records[position : position + length]), (access, modification)
            position += length
