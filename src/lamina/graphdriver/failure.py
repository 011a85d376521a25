"""What graph drivers raise, and the one place where the kernel's errors become ours."""

from __future__ import annotations

import errno
from collections.abc import Iterator

from lamina.contextlib import contextmanager
from lamina.errors import (
    TELLS_MORE,
    Conflict,
    Corrupt,
    InvalidArgument,
    NoSpace,
    NotFound,
    SystemFailure,
    Unsupported,
    system_reason,
)


class LayerExists(Conflict):
    """A layer directory of that id is there already."""


class LayerMissing(NotFound):
    """No layer directory of that id is there."""


class LayerDamaged(Corrupt):
    """A layer's metadata in the driver's directory is empty, malformed or contradicts itself."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}{TELLS_MORE}")


class DriverUnavailable(Unsupported):
    """This host, this file system or this version can't use the storage driver."""


class TooManyLayers(Unsupported):
    """The stack is deeper than the kernel can show."""


class DriverFailure(SystemFailure):
    """The kernel refused."""


class DriverFull(NoSpace):
    """The file system below the driver is full or a quota is used up."""


_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")


def check_id(id: str) -> None:
    """Raises ``InvalidArgument`` unless ``id`` can name a directory and stand in a mount option.

    Ids come from files on disk: one that names another place must not get as far as a path.
    """
    if not id or id[0] == "." or not _CHARACTERS.issuperset(id) or len(id) > 250:
        raise InvalidArgument(f"invalid layer id {id!r}")


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn an :class:`OSError` inside the block into :class:`DriverFull` or :class:`DriverFailure` about ``what``."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DriverFull(f"{what}: {system_reason(error)}") from error
        raise DriverFailure(f"{what}: {system_reason(error)}") from error
