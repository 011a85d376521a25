"""Reading and writing the marks of a layer, in both dialects, with one interface.

Paths are relative to a layer and start with ``.``; the caller sees to it that what it reads exists. Sources: Linux
``Documentation/filesystems/overlayfs.rst`` ("whiteouts and opaque directories", "Redirecting directories", "Nesting
overlayfs mounts") and ``aufs(5)``.
"""

from __future__ import annotations

import enum
import errno
import os
import stat
from collections.abc import Iterable

from lamina import contextlib
from lamina.typing import NamedTuple, Protocol
from lamina.unionfs.layer import Layer
from lamina.unionfs.whiteout import META_PREFIX, OPAQUE, PREFIX, hidden_name, is_overlay_whiteout

_NO_ATTRIBUTES = frozenset(
    {errno.ENODATA, errno.EOPNOTSUPP, errno.EPERM, errno.EACCES, errno.ENOENT, errno.ELOOP, errno.ENOTDIR}
)
#: ``S_IFMT``.
_KIND = 0o170000


class Mark(enum.Enum):
    """A layer says that a name is not there, whatever is below."""

    HIDDEN = "hidden"


class DirectoryMarks(NamedTuple):
    """What a layer says about one of its directories."""

    #: Nothing below it counts.
    opaque: bool = False
    #: Where its lower part is instead: ``name`` in the same directory, or ``/path`` from the root.
    redirect: bytes | None = None
    #: Whether empty files in it may be whiteouts by extended attribute.
    attribute_whiteouts: bool = False


#: Of a directory without any mark.
UNMARKED = DirectoryMarks()


class Entry(NamedTuple):
    """A name in a directory of a layer. ``kind`` is ``S_IFMT`` of its mode."""

    name: bytes
    kind: int
    number: int


class Contents(NamedTuple):
    """One layer's directory: what it shows and what it hides below."""

    entries: list[Entry]
    hidden: set[bytes]


class Marks(Protocol):
    """One dialect."""

    #: Whether a directory's lower part can be elsewhere.
    redirects: bool

    def reserved(self, name: bytes) -> bool:
        """Whether ``name`` is the dialect's own and can't be a file's."""

    def find(self, layer: Layer, directory: bytes, name: bytes) -> os.stat_result | Mark | None:
        """What ``layer`` has under ``name``; :data:`Mark.HIDDEN` ends the search below."""

    def directory(self, layer: Layer, path: bytes) -> DirectoryMarks:
        """The marks of a directory."""

    def contents(self, layer: Layer, path: bytes, marks: DirectoryMarks) -> Contents:
        """A directory's names without the dialect's own."""

    def borrowed(self, layer: Layer, path: bytes) -> bytes | None:
        """Whether a file has only its metadata here and its data below: where (a redirect), or empty; else ``None``."""

    def set_borrowed(self, layer: Layer, path: bytes) -> None:
        """Let the file's data be below."""

    def remove_borrowed(self, layer: Layer, path: bytes) -> None:
        """Let the file's data be its own."""

    def set_opaque(self, layer: Layer, path: bytes) -> None:
        """Let nothing below the directory show through."""

    def set_redirect(self, layer: Layer, path: bytes, redirect: bytes) -> None:
        """Let the directory's lower part be ``redirect``."""

    def make_whiteout(self, layer: Layer, directory: bytes, name: bytes) -> None:
        """Hide ``name``, which ``layer`` itself does not have."""

    def has_whiteout(self, layer: Layer, directory: bytes, name: bytes) -> bool:
        """Whether ``layer`` hides ``name``."""

    def remove_whiteout(self, layer: Layer, directory: bytes, name: bytes) -> None:
        """Take the mark away, if it is there."""

    def private(self, attribute: str) -> bool:
        """Whether an extended attribute is the dialect's and hidden from users."""

    def stored_name(self, attribute: str) -> str:
        """The name under which a user's attribute is kept; one of the dialect's own is escaped.

        Raises ``EOPNOTSUPP`` for one that can't be.
        """

    def shown_name(self, attribute: str) -> str | None:
        """The inverse; ``None`` for the dialect's own."""


def attribute(layer: Layer, path: bytes, name: str) -> bytes | None:
    """An extended attribute of what is at ``path``, a link not followed; ``None`` when it has none."""
    try:
        return os.getxattr(layer.absolute(path), name, follow_symlinks=False)
    except OSError as error:
        if error.errno in _NO_ATTRIBUTES:
            return None
        raise


def scan(layer: Layer, path: bytes) -> list[Entry]:
    """Every name in a directory of a layer, in the file system's order."""
    with os.scandir(layer.absolute(path)) as found:
        return [Entry(entry.name, _kind(entry), entry.inode()) for entry in found]


def _kind(entry: os.DirEntry[bytes]) -> int:
    if entry.is_file(follow_symlinks=False):
        return stat.S_IFREG
    if entry.is_dir(follow_symlinks=False):
        return stat.S_IFDIR
    if entry.is_symlink():
        return stat.S_IFLNK
    return stat.S_IFMT(entry.stat(follow_symlinks=False).st_mode)


class OverlayMarks:
    """The kernel's overlayfs: device 0:0 or attribute whiteouts, everything else in extended attributes."""

    redirects = True

    def __init__(self, prefix: str) -> None:
        """``prefix``: ``trusted.overlay.`` or ``user.overlay.``."""
        self.prefix = prefix
        self._opaque = prefix + "opaque"
        self._redirect = prefix + "redirect"
        self._whiteout = prefix + "whiteout"
        self._escaped = prefix + "overlay."
        #: The mark of a file whose data is below.
        self.metacopy = prefix + "metacopy"

    def reserved(self, name: bytes) -> bool:
        return False

    def find(self, layer: Layer, directory: bytes, name: bytes) -> os.stat_result | Mark | None:
        path = directory + b"/" + name
        try:
            status = os.stat(path, dir_fd=layer.descriptor, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None
        kind = status.st_mode & _KIND
        if kind == stat.S_IFCHR:
            return Mark.HIDDEN if status.st_rdev == 0 else status
        if kind == stat.S_IFREG and not status.st_size and layer.index:
            return Mark.HIDDEN if attribute(layer, path, self._whiteout) is not None else status
        return status

    def directory(self, layer: Layer, path: bytes) -> DirectoryMarks:
        try:
            names = os.listxattr(layer.absolute(path), follow_symlinks=False)
        except OSError as error:
            if error.errno in _NO_ATTRIBUTES:
                return UNMARKED
            raise
        if not names:
            return UNMARKED
        opaque = attribute(layer, path, self._opaque) if self._opaque in names else None
        redirect = attribute(layer, path, self._redirect) if self._redirect in names else None
        return DirectoryMarks(opaque == b"y", redirect or None, opaque == b"x")

    def contents(self, layer: Layer, path: bytes, marks: DirectoryMarks) -> Contents:
        entries: list[Entry] = []
        hidden: set[bytes] = set()
        for entry in scan(layer, path):
            if (entry.kind == stat.S_IFCHR or (marks.attribute_whiteouts and entry.kind == stat.S_IFREG)) and (
                self.find(layer, path, entry.name) is Mark.HIDDEN
            ):
                hidden.add(entry.name)
            else:
                entries.append(entry)
        return Contents(entries, hidden)

    def borrowed(self, layer: Layer, path: bytes) -> bytes | None:
        if attribute(layer, path, self.metacopy) is None:
            return None
        return attribute(layer, path, self._redirect) or b""

    def set_borrowed(self, layer: Layer, path: bytes) -> None:
        os.setxattr(layer.absolute(path), self.metacopy, b"", follow_symlinks=False)

    def remove_borrowed(self, layer: Layer, path: bytes) -> None:
        os.removexattr(layer.absolute(path), self.metacopy, follow_symlinks=False)

    def set_opaque(self, layer: Layer, path: bytes) -> None:
        os.setxattr(layer.absolute(path), self._opaque, b"y", follow_symlinks=False)

    def set_redirect(self, layer: Layer, path: bytes, redirect: bytes) -> None:
        os.setxattr(layer.absolute(path), self._redirect, redirect, follow_symlinks=False)

    def make_whiteout(self, layer: Layer, directory: bytes, name: bytes) -> None:
        os.mknod(directory + b"/" + name, stat.S_IFCHR, 0, dir_fd=layer.descriptor)

    def has_whiteout(self, layer: Layer, directory: bytes, name: bytes) -> bool:
        status = layer.status(directory + b"/" + name)
        return status is not None and is_overlay_whiteout(status)

    def remove_whiteout(self, layer: Layer, directory: bytes, name: bytes) -> None:
        if self.has_whiteout(layer, directory, name):
            os.unlink(directory + b"/" + name, dir_fd=layer.descriptor)

    def private(self, attribute: str) -> bool:
        return attribute.startswith(self.prefix) and not attribute.startswith(self._escaped)

    def stored_name(self, attribute: str) -> str:
        return self._escaped + attribute[len(self.prefix) :] if attribute.startswith(self.prefix) else attribute

    def shown_name(self, attribute: str) -> str | None:
        if not attribute.startswith(self.prefix):
            return attribute
        if attribute.startswith(self._escaped):
            return self.prefix + attribute[len(self._escaped) :]
        return None


def without_aufs_marks(found: Iterable[Entry]) -> tuple[list[Entry], set[bytes]]:
    """The entries of a directory that are no marks of AUFS's, and the names that its whiteouts hide."""
    entries: list[Entry] = []
    hidden: set[bytes] = set()
    for entry in found:
        if not entry.name.startswith(PREFIX):
            entries.append(entry)
        elif not entry.name.startswith(META_PREFIX):
            name = hidden_name(entry.name)
            if name is not None:
                hidden.add(name)
    return entries, hidden


class AufsMarks:
    """AUFS: empty files with the prefix ``.wh.``, which hide a name in their own layer as well."""

    redirects = False

    def reserved(self, name: bytes) -> bool:
        return name.startswith(PREFIX)

    def find(self, layer: Layer, directory: bytes, name: bytes) -> os.stat_result | Mark | None:
        if name.startswith(PREFIX):
            return None
        if self.has_whiteout(layer, directory, name):
            return Mark.HIDDEN
        return layer.status(directory + b"/" + name)

    def directory(self, layer: Layer, path: bytes) -> DirectoryMarks:
        return UNMARKED if layer.status(path + b"/" + OPAQUE) is None else DirectoryMarks(opaque=True)

    def contents(self, layer: Layer, path: bytes, marks: DirectoryMarks) -> Contents:
        entries, hidden = without_aufs_marks(scan(layer, path))
        return Contents([entry for entry in entries if entry.name not in hidden], hidden)

    def borrowed(self, layer: Layer, path: bytes) -> bytes | None:
        return None

    def set_borrowed(self, layer: Layer, path: bytes) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP), path)

    def remove_borrowed(self, layer: Layer, path: bytes) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP), path)

    def set_opaque(self, layer: Layer, path: bytes) -> None:
        self._touch(layer, path + b"/" + OPAQUE)

    def set_redirect(self, layer: Layer, path: bytes, redirect: bytes) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), path)

    def make_whiteout(self, layer: Layer, directory: bytes, name: bytes) -> None:
        self._touch(layer, directory + b"/" + PREFIX + name)

    def has_whiteout(self, layer: Layer, directory: bytes, name: bytes) -> bool:
        try:
            return layer.status(directory + b"/" + PREFIX + name) is not None
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:  # no whiteout can be that long
                return False
            raise

    def remove_whiteout(self, layer: Layer, directory: bytes, name: bytes) -> None:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            try:
                os.unlink(directory + b"/" + PREFIX + name, dir_fd=layer.descriptor)
            except OSError as error:
                if error.errno != errno.ENAMETOOLONG:
                    raise

    def _touch(self, layer: Layer, path: bytes) -> None:
        flags = os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        os.close(os.open(path, flags, 0o444, dir_fd=layer.descriptor))

    def private(self, attribute: str) -> bool:
        return False

    def stored_name(self, attribute: str) -> str:
        return attribute

    def shown_name(self, attribute: str) -> str | None:
        return attribute
