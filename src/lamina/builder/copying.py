"""Putting files into a step's workspace: what ``COPY`` and ``ADD`` do once their sources are known.

Semantics are those of Docker 20.10's classic builder: missing directories are made with mode 0755, a directory's
content goes into the destination, a file replaces whatever has its name, times are kept in whole seconds, of the
extended attributes only capabilities are. Every path in the destination is resolved with the workspace as root.
"""

from __future__ import annotations

import errno
import os
import posixpath
import stat
from collections.abc import Callable

from lamina.atomicfile import write_all
from lamina.builder.permissions import Permissions
from lamina.builder.selection import Piece
from lamina.builder.tree import Found, Tree
from lamina.container import copying as archives
from lamina.container import rootfs
from lamina.container.treeextract import Extraction
from lamina.contextlib import suppress
from lamina.errors import Corrupt, InvalidArgument
from lamina.graphdriver.removal import remove_tree
from lamina.linux import files, openat2, process
from lamina.owners import SAME, Owners
from lamina.tarball import compression
from lamina.tarball.reader import TarReader
from lamina.typing import NamedTuple

_SECOND = 1_000_000_000
_CAPABILITY = "security.capability"
#: Decides the mode of new files in a directory that has it (acl(5)).
_DEFAULT_ACCESS = "system.posix_acl_default"
_PIECE = 1 << 20
#: Bytes up to which a file is read and written at once.
_SMALL = 1 << 16
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class BadDestination(InvalidArgument):
    """Sources and destination don't fit."""


class Manner(NamedTuple):
    """How files are copied.

    :ivar owner: in the image, of everything that is made; ``None`` keeps the source's.
    :ivar mode: permissions of every file and directory; ``None`` keeps the source's.
    :ivar excludes: says of a path below what is copied whether it is left out.
    :ivar owners: who owns files in the workspace for those who own them in images.
    """

    owner: tuple[int, int] | None = (0, 0)
    mode: Permissions | None = None
    excludes: Callable[[str], bool] | None = None
    owners: Owners = SAME


class Copier:
    """Copies into one workspace.

    :param root: descriptor of its root directory.
    """

    def __init__(self, root: int, manner: Manner) -> None:
        self._root = root
        self._manner = manner
        self._links: dict[tuple[int, int], tuple[int, str]] = {}
        self._base = ""
        # What a new file gets by itself, so that it need not be told.
        self._umask = process.umask()
        self._made_by = manner.owners.on_host(*(manner.owner or (0, 0)))
        self._creates_own = manner.owner is not None and self._made_by == (os.geteuid(), os.getegid())
        self._source_owners = SAME

    def copy(self, piece: Piece, target: str) -> None:
        """One source to the absolute path ``target``."""
        tree, found = piece.tree, piece.found
        self._source_owners = tree.owners
        if piece.parents:
            target = self._make_parents(piece, target)
        if found.is_directory:
            directory, made = self._directory(target)
            try:
                self._base = piece.base
                # A directory that is made for the content has mode 0755, not the source's, unless its own name is kept.
                self._content(tree, found.path, directory, found.status if made and piece.parents else None)
            finally:
                os.close(directory)
            return
        if piece.unpack and stat.S_ISREG(found.status.st_mode) and self._unpacked(tree, found, target):
            return
        name = posixpath.basename(found.asked) or posixpath.basename(found.path)
        parent, name = self._place(target, name)
        source = openat2.open_beneath(tree.root, found.path.rpartition("/")[0] or ".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._leaf(source, found.path.rpartition("/")[2], parent, name, found.status)
        finally:
            os.close(source)
            os.close(parent)

    def copy_content(self, tree: Tree, directory: int) -> None:
        """All that is in the tree, into an open directory."""
        self._source_owners = tree.owners
        self._content(tree, "", directory, None)

    def write(self, target: str, name: str, content: bytes, mode: int = 0o644, mtime: int = 0) -> None:
        """A file with given content: a heredoc's, or one that was downloaded."""
        parent, name = self._place(target, name)
        try:
            self._make_room(parent, name, directory=False)
            descriptor = os.open(name, _CREATE, 0o600, dir_fd=parent)
            try:
                write_all(descriptor, content)
                os.fchown(descriptor, *self._made_by)
                os.fchmod(descriptor, self._mode(mode))
                if mtime:
                    os.utime(descriptor, ns=(mtime, mtime))
            finally:
                os.close(descriptor)
        finally:
            os.close(parent)

    def _excludes(self, path: str) -> bool:
        excludes = self._manner.excludes
        return excludes is not None and excludes(path[len(self._base) :].lstrip("/"))

    # Destinations

    def _make_parents(self, piece: Piece, target: str) -> str:
        """The directories above what is copied, each as it is in the source; where that goes then."""
        path, source = target.rstrip("/"), piece.pivot
        for name in piece.parents.split("/"):
            path, source = f"{path}/{name}", f"{source}/{name}" if source else name
            descriptor, made = self._directory(path)
            try:
                if made:
                    origin = openat2.open_in_root(piece.tree.root, source, os.O_RDONLY | os.O_DIRECTORY)
                    try:
                        self._finish(origin, descriptor, os.fstat(origin))
                    finally:
                        os.close(origin)
            finally:
                os.close(descriptor)
        return f"{path}/"

    def _open(self, path: str) -> int:
        return openat2.open_in_root(self._root, path, os.O_RDONLY | os.O_DIRECTORY)

    def _is_directory(self, path: str) -> bool:
        try:
            os.close(self._open(path))
        except OSError:
            return False
        return True

    def _directory(self, path: str) -> tuple[int, bool]:
        """The directory ``path``, made with all above it when missing, and whether it was."""
        try:
            return self._open(path), False
        except FileNotFoundError:
            pass
        except NotADirectoryError:
            raise BadDestination(f"cannot copy to {path}: a component of it is not a directory") from None
        made = rootfs.make_directories(self._root, path, owner=self._made_by)
        return self._open(made), True

    def _place(self, target: str, name: str) -> tuple[int, str]:
        """Where a file goes: an open directory, and its name there, which is ``name`` if ``target`` is a directory."""
        if target.endswith("/") or self._is_directory(target):
            return self._directory(target)[0], name
        above, _, name = target.rpartition("/")
        name, above = self._followed(above or "/", name)
        return self._directory(above)[0], name

    def _followed(self, above: str, name: str) -> tuple[str, str]:
        """Where a link in the last component leads: as Docker, a file is written through it."""
        if name in ("", ".", ".."):
            raise BadDestination(f"{above}/{name} names no file")
        path = f"{above.rstrip('/')}/{name}"
        for _ in range(40):
            try:
                descriptor = openat2.open_in_root(self._root, path, os.O_PATH | os.O_NOFOLLOW)
            except OSError:
                break
            try:
                if not stat.S_ISLNK(os.fstat(descriptor).st_mode):
                    break
                link = os.readlink("", dir_fd=descriptor)
            finally:
                os.close(descriptor)
            path = posixpath.join(posixpath.dirname(path), link)
        else:
            raise BadDestination(f"{above}/{name}: too many links")
        above, _, name = path.rpartition("/")
        return name, above or "/"

    # Copying

    def _content(self, tree: Tree, path: str, target: int, status: os.stat_result | None) -> None:
        """What is in the directory ``path`` of the tree, into an open directory, which gets ``status`` at the end.

        Directories are entered with an explicit stack: trees are deeper than Python's.
        """
        source = openat2.open_beneath(tree.root, path or ".", os.O_RDONLY | os.O_DIRECTORY)
        stack = [_Level(source, os.dup(target), path, "", status)]
        try:
            while stack:
                level = stack[-1]
                if not level.names:
                    if level.status is not None and level.target >= 0:
                        self._finish(level.source, level.target, level.status)
                    stack.pop().close()
                    continue
                name = level.names.pop()
                inner = f"{level.path}/{name}" if level.path else name
                excluded = self._excludes(inner)
                hidden = excluded or tree.excludes(inner)
                try:
                    found = os.stat(name, dir_fd=level.source, follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if not stat.S_ISDIR(found.st_mode):
                    if not hidden:
                        target_fd = level.target if level.target >= 0 else self._reached(stack)
                        self._leaf(level.source, name, target_fd, name, found, usual=level.usual)
                    continue
                if hidden and tree.skips(inner):
                    continue
                below = os.open(name, _OPEN_DIRECTORY, dir_fd=level.source)
                stack.append(_Level(below, -1, inner, name, None if excluded or tree.is_bare(inner) else found))
                if not hidden:
                    self._reached(stack)
        finally:
            for level in stack:
                level.close()

    def _reached(self, stack: list[_Level]) -> int:
        """The directory that the last level goes to. One that is hidden itself is made when something in it is not."""
        for above, level in zip([None, *stack], stack, strict=False):
            if level.target >= 0 or above is None:
                continue
            self._make_room(above.target, level.name, directory=True)
            with suppress(FileExistsError):
                os.mkdir(level.name, 0o755 if level.status is None else 0o700, dir_fd=above.target)
                if self._manner.owners.are_mapped:
                    os.chown(level.name, *self._made_by, dir_fd=above.target, follow_symlinks=False)
            level.target = os.open(level.name, _OPEN_DIRECTORY, dir_fd=above.target)
            level.usual = _is_usual(level.target)
        return stack[-1].target

    def _leaf(
        self, source: int, name: str, parent: int, target: str, status: os.stat_result, *, usual: bool = False
    ) -> None:
        """One file. ``usual`` says that the directory ``parent`` leaves new files the owner and mode asked for."""
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFREG:
            self._file(source, name, parent, target, status, usual=usual)
            return
        self._make_room(parent, target, directory=False)
        if kind == stat.S_IFLNK:
            os.symlink(os.readlink(name, dir_fd=source), target, dir_fd=parent)
            self._finish_name(parent, target, status)
        elif kind != stat.S_IFSOCK:
            os.mknod(target, kind | 0o600, status.st_rdev, dir_fd=parent)
            self._finish_name(parent, target, status)

    def _file(self, source: int, name: str, parent: int, target: str, status: os.stat_result, *, usual: bool) -> None:
        if status.st_nlink > 1 and self._linked(parent, target, status):
            return
        origin = os.open(name, _READ, dir_fd=source)
        try:
            mode = self._mode(status.st_mode)
            usual = usual and self._creates_own and not mode & (self._umask | 0o7000)
            try:
                made = os.open(target, _CREATE, mode if usual else 0o600, dir_fd=parent)
            except FileExistsError:
                self._make_room(parent, target, directory=False)
                made = os.open(target, _CREATE, mode if usual else 0o600, dir_fd=parent)
            try:
                if status.st_size <= _SMALL:
                    write_all(made, os.read(origin, _SMALL + 1))
                else:
                    files.copy_data(origin, made)
                if usual:
                    _set_time(made, status)
                else:
                    self._finish(origin, made, status)
            finally:
                os.close(made)
        finally:
            os.close(origin)
        if status.st_nlink > 1:
            self._links[(status.st_dev, status.st_ino)] = os.dup(parent), target

    def _linked(self, parent: int, target: str, status: os.stat_result) -> bool:
        first = self._links.get((status.st_dev, status.st_ino))
        if first is None:
            return False
        self._make_room(parent, target, directory=False)
        os.link(first[1], target, src_dir_fd=first[0], dst_dir_fd=parent, follow_symlinks=False)
        return True

    def close(self) -> None:
        """Give up the descriptors that hard links needed."""
        for descriptor, _ in self._links.values():
            os.close(descriptor)
        self._links.clear()

    def _make_room(self, parent: int, name: str, *, directory: bool) -> None:
        """Remove what has the name, unless both are directories."""
        try:
            status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return
        if not stat.S_ISDIR(status.st_mode):
            os.unlink(name, dir_fd=parent)
        elif not directory:
            remove_tree(f"{openat2.descriptor_path(parent)}/{name}")

    def _finish(self, origin: int, made: int, status: os.stat_result) -> None:
        """Owner, mode, capabilities and times of an open file or directory, in the order that keeps them."""
        os.fchown(made, *self._owner(status))
        os.fchmod(made, self._mode(status.st_mode))
        if stat.S_ISREG(status.st_mode) and self._manner.owner is None:
            try:
                os.setxattr(made, _CAPABILITY, os.getxattr(origin, _CAPABILITY))
            except OSError as error:
                if error.errno not in (errno.ENODATA, errno.EOPNOTSUPP):
                    raise
        _set_time(made, status)

    def _owner(self, status: os.stat_result) -> tuple[int, int]:
        """User and group that something gets here."""
        if self._manner.owner is not None:
            return self._made_by
        uid, gid = status.st_uid, status.st_gid
        if self._source_owners == self._manner.owners:
            return uid, gid
        return self._manner.owners.on_host(*self._source_owners.inside(uid, gid))

    def _mode(self, mode: int) -> int:
        """The permissions that something gets whose ``st_mode`` is this."""
        wanted, permissions = self._manner.mode, stat.S_IMODE(mode)
        return permissions if wanted is None else wanted.of(permissions, directory=stat.S_ISDIR(mode))

    def _finish_name(self, parent: int, name: str, status: os.stat_result) -> None:
        os.chown(name, *self._owner(status), dir_fd=parent, follow_symlinks=False)
        if not stat.S_ISLNK(status.st_mode):
            os.chmod(name, self._mode(status.st_mode), dir_fd=parent)
        seconds = status.st_mtime_ns // _SECOND * _SECOND
        os.utime(name, ns=(seconds, seconds), dir_fd=parent, follow_symlinks=False)

    # Archives

    def _unpacked(self, tree: Tree, found: Found, target: str) -> bool:
        """Extract a local archive below ``target``; ``False`` when the file is none."""
        descriptor = openat2.open_beneath(tree.root, found.path, os.O_RDONLY | os.O_NONBLOCK)
        with open(descriptor, "rb", buffering=0) as file:
            if not is_archive(descriptor):
                return False
            directory, _ = self._directory(target)
            try:
                stream = iter(lambda: file.read(_PIECE), b"")
                Extraction(
                    directory,
                    owners=True,
                    overwrite=True,
                    resolve=openat2.RESOLVE_IN_ROOT | openat2.RESOLVE_NO_MAGICLINKS,
                    mapping=self._manner.owners,
                ).run(archives.entries_of(stream))
            finally:
                os.close(directory)
        return True


class _Level:
    """A directory on the way down: what is left to copy of it."""

    __slots__ = ("name", "names", "path", "source", "status", "target", "usual")

    def __init__(self, source: int, target: int, path: str, name: str, status: os.stat_result | None) -> None:
        self.source = source
        self.target = target
        self.path = path
        self.name = name
        self.status = status
        self.names = sorted(os.listdir(source), key=os.fsencode, reverse=True)
        self.usual = target >= 0 and _is_usual(target)

    def close(self) -> None:
        os.close(self.source)
        if self.target >= 0:
            os.close(self.target)


def _is_usual(directory: int) -> bool:
    """Whether new files in it get their group from who makes them, and the mode asked for."""
    return not os.fstat(directory).st_mode & stat.S_ISGID and _DEFAULT_ACCESS not in os.listxattr(directory)


def _set_time(made: int, status: os.stat_result) -> None:
    """Docker keeps whole seconds."""
    seconds = status.st_mtime_ns // _SECOND * _SECOND
    os.utime(made, ns=(seconds, seconds))


def is_archive(descriptor: int) -> bool:
    """Whether the file begins with a tar entry, plain or compressed. The offset is at the start afterwards."""
    chunks = iter(lambda: os.read(descriptor, 1 << 16), b"")
    try:
        return TarReader(compression.decompress(chunks)).next() is not None
    except (Corrupt, EOFError, ValueError):
        return False
    finally:
        os.lseek(descriptor, 0, os.SEEK_SET)
