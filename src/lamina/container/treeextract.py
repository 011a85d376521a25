"""Putting entries of a tar into a directory that exists: ``cp``'s side of :mod:`lamina.container.treetar`.

Unlike a layer's extraction nothing is special about any name. The archive, or the directory, may be a container's: a
parent is opened by the kernel, inside the root that was given, and everything happens by one name in it.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable

from lamina.atomicfile import write_all
from lamina.container.treetar import Entry
from lamina.contextlib import suppress
from lamina.errors import Conflict, Corrupt, InvalidArgument, NoSpace
from lamina.graphdriver.removal import remove_tree
from lamina.linux import openat2
from lamina.owners import SAME, Owners
from lamina.tarball import header as tar
from lamina.tarball import ownership
from lamina.tarball.header import Header

_NOTHING_FOLLOWED = openat2.RESOLVE_BENEATH | openat2.RESOLVE_NO_SYMLINKS
_DEVICE_TYPES = {tar.CHARACTER: stat.S_IFCHR, tar.BLOCK_DEVICE: stat.S_IFBLK, tar.FIFO: stat.S_IFIFO}
_MAX_ID = (1 << 32) - 2
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class CannotOverwrite(Conflict):
    """A directory and something else have the same name."""


class HostileEntry(Corrupt):
    """An entry whose name leaves the directory."""


class Extraction:
    """Extracts entries below one directory.

    :param directory: descriptor of it.
    :param owners: whether entries keep their owner; else files belong to this process's user.
    :param mapping: who gets files for those who have them in the archive, where they keep their owner.
    :param overwrite: whether a directory and something else replace one another.
    :param resolve: how parents are opened; by default no link is followed.
    """

    def __init__(
        self,
        directory: int,
        *,
        owners: bool,
        overwrite: bool = False,
        resolve: int = _NOTHING_FOLLOWED,
        mapping: Owners = SAME,
    ) -> None:
        self._directory = directory
        self._owners = owners
        self._overwrite = overwrite
        self._resolve = resolve
        self._mapping = mapping
        self._directories: list[tuple[bytes, Header]] = []

    def run(self, entries: Iterable[Entry]) -> None:
        """Extract all of them. What was extracted before an error stays, as with docker.

        :raises CannotOverwrite: a directory would replace a file, or the other way round.
        :raises HostileEntry: a name with ``..``.
        """
        try:
            for header, content in entries:
                mapped = ownership.on_host(header, self._mapping) if self._mapping.are_mapped else header
                self._extract(mapped, content)
            for path, header in reversed(self._directories):
                descriptor = openat2.openat2(
                    self._directory, path or b".", os.O_RDONLY | os.O_DIRECTORY, resolve=self._resolve
                )
                try:
                    os.utime(descriptor, ns=(header.mtime, header.mtime))
                finally:
                    os.close(descriptor)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise NoSpace("no space left on device") from error
            if error.errno == errno.EROFS:
                raise InvalidArgument("read-only file system") from error
            raise

    def _extract(self, header: Header, content: Iterable[bytes]) -> None:
        if header.kind == tar.PAX_GLOBAL:  # has a name, and is no file
            return
        path = _clean(header.name)
        parent_path, _, base = path.rpartition(b"/")
        parent = self._parent(parent_path)
        try:
            if not base:
                return
            self._make_room(parent, header, path, base)
            if header.kind == tar.DIRECTORY:
                self._make_directory(parent, header, path, base)
            elif header.kind in (tar.REGULAR, tar.CONTIGUOUS):
                self._make_file(parent, header, base, content)
            elif header.kind == tar.SYMLINK:
                os.symlink(header.linkname, base, dir_fd=parent)
                self._finish(parent, header, base)
            elif header.kind == tar.HARD_LINK:
                self._make_link(parent, header, base)
            elif header.kind in _DEVICE_TYPES:
                device = os.makedev(header.major, header.minor)
                os.mknod(base, _DEVICE_TYPES[header.kind] | 0o600, device, dir_fd=parent)
                self._finish(parent, header, base)
        finally:
            os.close(parent)

    def _parent(self, path: bytes) -> int:
        """The directory, made with those above it when missing; there may be more of them than Python can recurse."""
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        missing: list[bytes] = []
        while True:
            try:
                descriptor = openat2.openat2(self._directory, path or b".", flags, resolve=self._resolve)
                break
            except FileNotFoundError:
                if not path:
                    raise
                path, _, base = path.rpartition(b"/")
                missing.append(base)
        while missing:
            above, base = descriptor, missing.pop()
            try:
                os.mkdir(base, 0o755, dir_fd=above)
                if self._mapping.are_mapped:
                    os.chown(base, *self._mapping.root, dir_fd=above, follow_symlinks=False)
                descriptor = os.open(base, flags | os.O_NOFOLLOW, dir_fd=above)
            finally:
                os.close(above)
        return descriptor

    def _make_room(self, parent: int, header: Header, path: bytes, base: bytes) -> None:
        try:
            mode = os.stat(base, dir_fd=parent, follow_symlinks=False).st_mode
        except FileNotFoundError:
            return
        there, comes = stat.S_ISDIR(mode), header.kind == tar.DIRECTORY
        if there and not comes and self._overwrite:
            remove_tree(f"{openat2.descriptor_path(parent)}/{os.fsdecode(base)}")
            return
        if there != comes and not self._overwrite:
            words = ("directory", "non-directory") if there else ("non-directory", "directory")
            shown = os.fsdecode(path)
            raise CannotOverwrite(f'cannot overwrite {words[0]} "{shown}" with {words[1]} "{shown}"')
        if not there:
            os.unlink(base, dir_fd=parent)

    def _make_directory(self, parent: int, header: Header, path: bytes, base: bytes) -> None:
        with suppress(FileExistsError):
            os.mkdir(base, 0o700, dir_fd=parent)
        self._directories.append((path, header))
        self._finish(parent, header, base)

    def _make_file(self, parent: int, header: Header, base: bytes, content: Iterable[bytes]) -> None:
        descriptor = os.open(base, _CREATE, 0o600, dir_fd=parent)
        try:
            for piece in content:
                write_all(descriptor, piece)
            for name, value in (header.xattrs or {}).items():
                if name == b"security.capability" and os.geteuid() == 0:
                    os.setxattr(descriptor, name, value)
        finally:
            os.close(descriptor)
        self._finish(parent, header, base)

    def _make_link(self, parent: int, header: Header, base: bytes) -> None:
        target_parent, _, target = _clean(header.linkname).rpartition(b"/")
        source = self._parent(target_parent)
        try:
            os.link(target, base, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(source)

    def _finish(self, parent: int, header: Header, base: bytes) -> None:
        """Owner, mode and times; in this order, since a new owner takes set-user-id away."""
        if self._owners and os.geteuid() == 0:
            if not (0 <= header.uid <= _MAX_ID and 0 <= header.gid <= _MAX_ID):
                raise HostileEntry(f"{os.fsdecode(header.name)!r}: owner {header.uid}:{header.gid} does not exist")
            os.chown(base, header.uid, header.gid, dir_fd=parent, follow_symlinks=False)
        if header.kind != tar.SYMLINK:
            _change_mode(parent, base, header.mode & 0o7777)
        os.utime(base, ns=(header.mtime, header.mtime), dir_fd=parent, follow_symlinks=False)


def _change_mode(parent: int, base: bytes, mode: int) -> None:
    """``chmod`` of the very object: were it a link by now, its target's mode would change."""
    descriptor = os.open(base, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        if not stat.S_ISLNK(os.fstat(descriptor).st_mode):
            os.chmod(openat2.descriptor_path(descriptor), mode)
    finally:
        os.close(descriptor)


def _clean(name: bytes) -> bytes:
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if b".." in parts or b"\0" in name:
        raise HostileEntry(f"invalid tar entry {os.fsdecode(name)!r}: it is outside of the directory")
    return b"/".join(parts)
