"""From the kernel's "no space" to an error that a person understands."""

from __future__ import annotations

import errno
from collections.abc import Iterator

from lamina.contextlib import contextmanager
from lamina.errors import NoSpace

_FULL = {errno.ENOSPC: "no space left on device", errno.EDQUOT: "disk quota exceeded"}


class DiskFull(NoSpace):
    """The data root's file system is full, and what was begun has been undone."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{why}: {path}; nothing of it was kept")
        self.path = path


def out_of_space(error: BaseException | None, path: str) -> DiskFull | None:
    """What to raise in place of ``error`` when it says that the file system of ``path`` is full."""
    if isinstance(error, OSError) and error.errno in _FULL:
        return DiskFull(path, _FULL[error.errno])
    return None


@contextmanager
def space_checked(path: str) -> Iterator[None]:
    """Turn "no space" from the block into :class:`DiskFull`."""
    try:
        yield
    except OSError as error:
        failure = out_of_space(error, path)
        if failure is None:
            raise
        raise failure from error
