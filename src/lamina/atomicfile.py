"""Files that are there whole or not at all.

A reader sees the old content or the new one; a crash leaves one of the two. The temporary name begins with
``.tmp-``, as Docker's does, so that anyone who lists the directory can tell leftovers.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator

from lamina.contextlib import ExitStack, contextmanager
from lamina.typing import IO

#: First characters of the name of a file that is being written.
TEMPORARY_PREFIX = ".tmp-"


def write(
    path: str | os.PathLike[str], data: bytes, *, mode: int = 0o600, sync: bool = True, others: Iterable[str] = ()
) -> None:
    """Replace ``path``'s content by ``data``.

    With ``sync`` the data is on disk before the name points at it, and that of the files and directories
    ``others``; the name is before this returns.
    Raises :class:`OSError` with a path; the old content is untouched then, unless a disk failed with the new name.
    """
    path = os.fspath(path)
    directory, name = os.path.split(path)
    with ExitStack() as stack, naming(path):
        parent = _open_directory(directory or ".")  # while nothing has changed
        stack.callback(os.close, parent)
        temporary, descriptor = begin(directory, name, mode)
        stack.callback(os.close, descriptor)
        try:
            write_all(descriptor, data)
            if sync:
                sync_together((*others, temporary))
            os.rename(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
        if sync:
            os.fsync(parent)


def begin(directory: str, name: str, mode: int = 0o600) -> tuple[str, int]:
    """Path and descriptor of a new temporary file, to be renamed to ``name`` when it is whole.

    It is locked: whoever can take the lock of a temporary file knows that its writer is dead.
    """
    while True:
        path = os.path.join(directory, f"{TEMPORARY_PREFIX}{name}{os.getpid()}.{os.urandom(4).hex()}")
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
        try:
            with naming(path):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                if os.fstat(descriptor).st_nlink:
                    return path, descriptor
        except BaseException:
            os.close(descriptor)
            os.unlink(path)
            raise
        os.close(descriptor)  # taken for a leftover before it was locked


@contextmanager
def replacing(path: str, *, mode: int = 0o600) -> Iterator[IO[bytes]]:
    """A file that takes ``path``'s place when the context ends well, and vanishes when it does not.

    Not durable by itself. Raises :class:`OSError`.
    """
    temporary, descriptor = begin(*os.path.split(path), mode)
    try:
        with naming(path), open(descriptor, "wb") as file:
            yield file
            file.flush()
            os.rename(temporary, path)  # while its lock is held
    except BaseException:
        os.unlink(temporary)
        raise


def is_leftover(path: str, *, remove: bool = False) -> bool:
    """Whether ``path`` is a temporary file whose writer died; with ``remove`` it is gone afterwards."""
    if not os.path.basename(path).startswith(TEMPORARY_PREFIX):
        return False
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if remove:
            os.unlink(path)
    except (BlockingIOError, FileNotFoundError):
        return False
    finally:
        os.close(descriptor)
    return True


@contextmanager
def naming(path: str) -> Iterator[None]:
    """Say ``path`` in an :class:`OSError` of the block that names none, as those of calls on descriptors."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = path
        raise


def write_all(descriptor: int, data: bytes | bytearray | memoryview) -> None:
    """Write all of ``data``: one ``write`` may take only a part of it."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def sync_together(paths: Iterable[str]) -> None:
    """Put the content of files, and names in directories, on disk.

    The file system commits once where all of it is begun before any is waited for.
    """
    with ExitStack() as opened:
        descriptors = {path: os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW) for path in paths}
        for path, descriptor in descriptors.items():
            opened.callback(os.close, descriptor)
            with naming(path):
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)  # which begins to write
        for path, descriptor in descriptors.items():
            with naming(path):
                os.fdatasync(descriptor)


def sync_directory(path: str | os.PathLike[str]) -> None:
    """Make the names in ``path`` durable."""
    descriptor = _open_directory(path)
    try:
        with naming(os.fspath(path)):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _open_directory(path: str | os.PathLike[str]) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
