"""Opening an image archive: a file or a pipe, compressed or not, or a directory.

A plain file is read where it lies. What can't be read at any offset (a pipe, a compressed file) is copied first, to a
file below the data root that has no name, so that neither a crash nor a kill leaves it behind.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Iterable, Iterator

from lamina import atomicfile
from lamina.contextlib import contextmanager
from lamina.distribution.content import Archive
from lamina.distribution.directory_archive import DirectoryArchive
from lamina.distribution.tar_archive import TarArchive
from lamina.errors import NoSpace, NotFound
from lamina.tarball import compression
from lamina.tarball.compression import Compression
from lamina.typing import IO

_CHUNK = 1 << 20


class NoSuchArchive(NotFound):
    """There is no file or directory of this name."""

    def __init__(self, path: str) -> None:
        super().__init__(f"open {path}: no such file or directory")


@contextmanager
def open_archive(source: IO[bytes] | str, scratch: str) -> Iterator[Archive]:
    """The archive that ``source`` holds.

    :param source: path of a file or a directory, or a binary stream, which stays open.
    :param scratch: directory for the copy of what can't be read at any offset.
    :raises NoSuchArchive: there is nothing at this path.
    :raises NoSpace: the copy does not fit.
    """
    if not isinstance(source, str):
        with _stream_archive(source, scratch) as archive:
            yield archive
    elif os.path.isdir(source):
        with DirectoryArchive(source) as directory:
            yield directory
    else:
        if not os.path.exists(source):
            raise NoSuchArchive(source)
        with open(source, "rb") as stream, _stream_archive(stream, scratch) as archive:
            yield archive


@contextmanager
def _stream_archive(stream: IO[bytes], scratch: str) -> Iterator[Archive]:
    start = _seekable_at(stream)
    if start is not None:
        prefix = os.pread(stream.fileno(), compression.MAGIC_LENGTH, start)
        if compression.detect(prefix) is Compression.NONE:
            yield TarArchive(stream.fileno(), start)
            return
    descriptor = _nameless_file(scratch)
    try:
        _copy(compression.decompress(iter(lambda: stream.read(_CHUNK), b"")), descriptor)
        yield TarArchive(descriptor)
    finally:
        os.close(descriptor)


def _seekable_at(stream: IO[bytes]) -> int | None:
    """Where ``stream`` stands in its regular file; ``None`` when it is something else."""
    try:
        if stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            return stream.tell()
    except (OSError, io.UnsupportedOperation, AttributeError):
        pass
    return None


def _nameless_file(directory: str) -> int:
    try:
        return os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
            raise
    path = os.path.join(directory, f"{atomicfile.TEMPORARY_PREFIX}load-{os.urandom(8).hex()}")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    os.unlink(path)
    return descriptor


def _copy(chunks: Iterable[bytes], descriptor: int) -> None:
    try:
        for chunk in chunks:
            atomicfile.write_all(descriptor, chunk)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise NoSpace(f"no space left for a copy of the archive: {error.strerror}") from error
