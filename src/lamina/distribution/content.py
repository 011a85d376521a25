"""Files of an image archive, whatever holds them: a tar that can be read at any offset, or a directory."""

from __future__ import annotations

import os
from collections.abc import Iterator

from lamina.contextlib import AbstractContextManager
from lamina.errors import Corrupt
from lamina.typing import Protocol

_CHUNK = 1 << 20


class InvalidArchive(Corrupt):
    """The archive's own structure is wrong: a file is missing, a name leaves the archive, two files have one name."""


class Content(Protocol):
    """One file. ``size`` is in bytes."""

    size: int

    def chunks(self) -> Iterator[bytes]:
        """All of it. Raises :class:`InvalidArchive` when it ends early."""


class Archive(Protocol):
    """Files by name. Names are relative, ``/`` between their parts. Thread-safe."""

    def has(self, name: str) -> bool: ...

    def open(self, name: str) -> AbstractContextManager[Content]:
        """The file ``name``; links are followed as far as they stay inside. Raises :class:`InvalidArchive`."""


class Slice:
    """A part of an open file, read by offset, so that several readers do not disturb each other."""

    def __init__(self, descriptor: int, offset: int, size: int, what: str) -> None:
        self.size = size
        self._descriptor = descriptor
        self._offset = offset
        self._what = what

    def chunks(self) -> Iterator[bytes]:
        position, end = self._offset, self._offset + self.size
        while position < end:
            chunk = os.pread(self._descriptor, min(_CHUNK, end - position), position)
            if not chunk:
                raise InvalidArchive(f"{self._what}: {end - position} bytes are missing at its end")
            position += len(chunk)
            yield chunk


def read_small(archive: Archive, name: str, limit: int) -> bytes:
    """All bytes of a document. Raises :class:`InvalidArchive` when it has more than ``limit``."""
    with archive.open(name) as content:
        if content.size > limit:
            raise InvalidArchive(f"{name}: {content.size} bytes are more than the limit of {limit}")
        return b"".join(content.chunks())


def normal_name(name: str) -> str:
    """``name`` without ``./``, doubled slashes and a slash at either end.

    ``..`` is refused rather than resolved: nobody who writes an archive in good faith needs it (CVE-2014-9356,
    CVE-2014-9358).
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts or "\0" in name:
        raise InvalidArchive(f"invalid archive: the path {name!r} leads out of it")
    return "/".join(parts)
