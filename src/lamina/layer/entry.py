"""What may be wrong with one entry of a layer's tar, and how its name is read."""

from __future__ import annotations

import errno
import os

from lamina.errors import Corrupt, LaminaError, NoSpace, SystemFailure, Unsupported
from lamina.unionfs import whiteout

#: What the kernel says about an entry that contradicts the tree it is for, or that no file system could hold.
_ENTRY_ERRORS = frozenset(
    (
        errno.EEXIST,
        errno.EFBIG,
        errno.EINVAL,
        errno.EISDIR,
        errno.ELOOP,
        errno.EMLINK,
        errno.ENAMETOOLONG,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.ENOTEMPTY,
        errno.EOVERFLOW,
        errno.EXDEV,
    )
)


class InvalidEntry(Corrupt):
    """An entry that can't or must not be extracted.

    :ivar name: as the archive has it.
    """

    def __init__(self, name: bytes, why: str) -> None:
        super().__init__(f"failed to register layer: invalid entry {os.fsdecode(name)[:300]!r}: {why}")
        self.name = name


class DuplicatePath(InvalidEntry):
    """A file that came before in the same archive would be lost, and with it the way back to the archive's bytes."""

    def __init__(self, name: bytes) -> None:
        super().__init__(name, "duplicates of file paths not supported")


def from_os_error(name: bytes, error: OSError) -> LaminaError:
    """The error to raise when extracting the entry ``name`` failed."""
    where = f"failed to register layer: {os.fsdecode(name)[:300]!r}: {error.strerror}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpace(where.replace(f"{error.strerror}", "no space left on device"))
    if error.errno in (errno.ENOSYS, errno.EOPNOTSUPP):
        return Unsupported(where)
    if error.errno in _ENTRY_ERRORS:
        return InvalidEntry(name, (error.strerror or "").lower())
    return SystemFailure(where)


def clean(path: bytes, name: bytes) -> bytes:
    """``path`` as a path relative to the layer's root, without ``.``, ``..`` and doubled slashes; ``b""`` is the root.

    A leading slash means the root, as everywhere in images. Raises :class:`InvalidEntry` about the entry ``name`` for a
    path that leaves the root. It is rejected rather than taken as if it had stopped there: two readers would disagree
    where it lies.
    """
    parts: list[bytes] = []
    for part in path.split(b"/"):
        if part in (b"", b"."):
            continue
        if part != b"..":
            parts.append(part)
        elif parts:
            parts.pop()
        else:
            what = "it" if path in name else f"{os.fsdecode(path)[:300]!r}"
            raise InvalidEntry(name, f"{what} is outside of the layer")
    return b"/".join(parts)


def is_ignored_directory(path: bytes, name: bytes) -> bool:
    """Whether entries in the directory ``path`` are AUFS's own records.

    Raises :class:`InvalidEntry` for a directory called like a whiteout: no layer could ever hold it.
    """
    if whiteout.PREFIX not in path:
        return False
    for part in path.split(b"/"):
        if part.startswith(whiteout.META_PREFIX):
            return True
        if part.startswith(whiteout.PREFIX):
            raise InvalidEntry(name, "a directory can't have the name of a whiteout")
    return False
