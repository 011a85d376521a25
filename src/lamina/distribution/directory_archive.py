"""An image archive that was unpacked, or an OCI layout: a directory.

Paths are opened by the kernel below the directory's descriptor: links inside it work, whatever leads out fails.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator

from lamina.contextlib import contextmanager
from lamina.distribution.content import Content, InvalidArchive, Slice, normal_name
from lamina.linux.openat2 import RESOLVE_BENEATH, RESOLVE_NO_MAGICLINKS, openat2
from lamina.typing import Self


class DirectoryArchive:
    """:class:`lamina.distribution.content.Archive` over a directory; a context manager."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self._descriptor)

    def has(self, name: str) -> bool:
        try:
            os.close(self._open(name))
        except InvalidArchive:
            return False
        return True

    @contextmanager
    def open(self, name: str) -> Iterator[Content]:
        descriptor = self._open(name)
        try:
            yield Slice(descriptor, 0, os.fstat(descriptor).st_size, f"{self._path}/{name}")
        finally:
            os.close(descriptor)

    def _open(self, name: str) -> int:
        """A descriptor of a regular file. A device or a named pipe would block or never end, so it is not opened."""
        inside = normal_name(name)
        resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS
        try:
            descriptor = openat2(self._descriptor, inside, os.O_RDONLY | os.O_NONBLOCK, resolve=resolve)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                raise InvalidArchive(f"invalid archive: {self._path} has no file {name!r}") from error
            if error.errno in (errno.EXDEV, errno.ELOOP):
                raise InvalidArchive(f"invalid archive: {name!r} is a link out of {self._path}") from error
            raise
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise InvalidArchive(f"invalid archive: {name!r} in {self._path} is not a regular file")
        return descriptor
