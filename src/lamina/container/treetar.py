"""A directory tree as entries of a tar, for ``cp`` and ``export``: as it is, deletions are nobody's business here.

The tree may change while it is read, and may be somebody else's: every step is relative to an open directory, no link
is followed, and what vanishes on the way is left out.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator

from lamina.linux import openat2
from lamina.owners import SAME, Owners
from lamina.tarball import header as tar
from lamina.tarball import ownership
from lamina.tarball.header import Header

Entry = tuple[Header, Iterable[bytes]]

_PIECE = 1 << 20
_SECOND = 1_000_000_000
_CAPABILITY = "security.capability"
_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_KINDS = {
    stat.S_IFDIR: tar.DIRECTORY,
    stat.S_IFLNK: tar.SYMLINK,
    stat.S_IFCHR: tar.CHARACTER,
    stat.S_IFBLK: tar.BLOCK_DEVICE,
    stat.S_IFIFO: tar.FIFO,
    stat.S_IFREG: tar.REGULAR,
}


def entries(directory: int, name: bytes, shown: bytes, owners: Owners = SAME) -> Iterator[Entry]:
    """Entry of ``name`` in the directory, and of everything below it, parents first and names in order.

    :param name: one path component, or ``b"."`` for the directory itself.
    :param shown: the name in the archive; ``b""`` leaves out the entry of the tree's own root.
    :param owners: who has files in the archive for those who have them here.
    """
    found = _Walk().visit(directory, name, shown)
    if owners.are_mapped:
        found = ((ownership.inside(header, owners), content) for header, content in found)
    yield from found


class _Walk:
    """One archive: remembers files with several names."""

    def __init__(self) -> None:
        self._seen: dict[tuple[int, int], bytes] = {}

    def visit(self, directory: int, name: bytes, shown: bytes) -> Iterator[Entry]:
        """An explicit stack, since trees are deeper than Python's."""
        try:
            status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            return
        if not stat.S_ISDIR(status.st_mode):
            yield from self._leaf(directory, name, shown, status)
            return
        try:
            opened = os.open(name, _OPEN_DIRECTORY, dir_fd=directory)
        except (FileNotFoundError, NotADirectoryError):
            return
        stack = [(opened, shown, self._names(opened))]
        try:
            if shown:
                yield _header(opened, shown + b"/", os.fstat(opened), tar.DIRECTORY), ()
            while stack:
                current, path, names = stack[-1]
                if not names:
                    os.close(current)
                    stack.pop()
                    continue
                child = names.pop()
                child_path = path + b"/" + child if path else child
                below = self._subdirectory(current, child)
                if below >= 0:
                    stack.append((below, child_path, self._names(below)))
                    yield _header(below, child_path + b"/", os.fstat(below), tar.DIRECTORY), ()
                    continue
                try:
                    status = os.stat(child, dir_fd=current, follow_symlinks=False)
                except FileNotFoundError:
                    continue
                yield from self._leaf(current, child, child_path, status)
        finally:
            for level, _, _ in stack:
                os.close(level)

    @staticmethod
    def _names(directory: int) -> list[bytes]:
        """Names in the directory, last one first."""
        return sorted((os.fsencode(name) for name in os.listdir(directory)), reverse=True)

    @staticmethod
    def _subdirectory(directory: int, name: bytes) -> int:
        """Its descriptor, or -1 when ``name`` is no directory."""
        try:
            return os.open(name, _OPEN_DIRECTORY | os.O_NONBLOCK, dir_fd=directory)
        except OSError as error:
            if error.errno in (errno.ENOTDIR, errno.ELOOP, errno.ENOENT, errno.ENXIO):
                return -1
            raise

    def _leaf(self, directory: int, name: bytes, shown: bytes, status: os.stat_result) -> Iterator[Entry]:
        kind = _KINDS.get(stat.S_IFMT(status.st_mode))
        if kind is None or kind == tar.DIRECTORY:  # a socket, as tar leaves it out; or it changed just now
            return
        if status.st_nlink > 1:
            first = self._seen.setdefault((status.st_dev, status.st_ino), shown)
            if first != shown:
                yield _header(-1, shown, status, tar.HARD_LINK)._replace(linkname=first), ()
                return
        if kind == tar.SYMLINK:
            target = os.readlink(name, dir_fd=directory)
            yield _header(-1, shown, status, kind)._replace(linkname=os.fsencode(target)), ()
        elif kind == tar.REGULAR:
            yield from _file(directory, name, shown)
        else:
            device = status.st_rdev
            yield _header(-1, shown, status, kind)._replace(major=os.major(device), minor=os.minor(device)), ()


def _file(directory: int, name: bytes, shown: bytes) -> Iterator[Entry]:
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    except (FileNotFoundError, OSError) as error:
        if isinstance(error, FileNotFoundError) or error.errno in (errno.ELOOP, errno.ENXIO):
            return
        raise
    try:
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode):
            header = _header(descriptor, shown, status, tar.REGULAR)
            yield header._replace(size=status.st_size, stored=status.st_size), _content(descriptor, status.st_size)
    finally:
        os.close(descriptor)


def _content(descriptor: int, size: int) -> Iterator[bytes]:
    """Exactly ``size`` bytes: the header has been written, so a file that shrank is filled with zeros."""
    left = size
    while left:
        data = os.read(descriptor, min(left, _PIECE)) or bytes(min(left, _PIECE))
        left -= len(data)
        yield data


def _header(descriptor: int, name: bytes, status: os.stat_result, kind: bytes) -> Header:
    """Times in whole seconds, as Docker's archives have them."""
    xattrs = None
    if descriptor >= 0 and kind == tar.REGULAR:
        try:
            xattrs = {_CAPABILITY.encode(): os.getxattr(descriptor, _CAPABILITY)}
        except OSError:
            xattrs = None
    return Header(
        name,
        kind,
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        mtime=status.st_mtime_ns // _SECOND * _SECOND,
        xattrs=xattrs,
    )


def open_parent(root: int, path: bytes, *, resolve: int) -> int:
    """Descriptor of the directory that holds the last component of ``path``."""
    parent = path.rstrip(b"/").rpartition(b"/")[0]
    return openat2.openat2(
        root, parent or b"/" if path.startswith(b"/") else parent or b".", os.O_DIRECTORY, resolve=resolve
    )
