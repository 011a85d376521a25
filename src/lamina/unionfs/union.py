"""A union by paths, for programs that want no mount: the same tree that a mount would show, with the same errors.

Paths are relative to the merged root, with or without a leading ``/``. Symbolic links are never followed: a path is a
place in the tree. Not for several threads at once.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from types import TracebackType

from lamina.typing import NamedTuple
from lamina.unionfs.attributes import Attributes
from lamina.unionfs.changes import Changes, open_changes
from lamina.unionfs.making import Creator, failure
from lamina.unionfs.marks import Entry
from lamina.unionfs.node import DirectoryNode, Node
from lamina.unionfs.options import MountOptions
from lamina.unionfs.origin import Origin, Presence, origin, presences
from lamina.unionfs.owners import Owners, directory_links
from lamina.unionfs.tree import Tree


class Status(NamedTuple):
    """What ``lstat`` on a mount would say; times in nanoseconds."""

    st_mode: int
    st_ino: int
    st_nlink: int
    st_uid: int
    st_gid: int
    st_rdev: int
    st_size: int
    st_blocks: int
    st_atime_ns: int
    st_mtime_ns: int
    st_ctime_ns: int


class Union:
    """An open union. A context manager."""

    def __init__(self, options: MountOptions) -> None:
        """Raises :class:`~lamina.errors.InvalidArgument`, :class:`~lamina.errors.Conflict` and :class:`OSError`."""
        self.tree = Tree(options)
        try:
            self._changes = open_changes(self.tree)
        except BaseException:
            self.tree.close()
            raise
        self._owners = Owners.of(options)
        self.attributes = Attributes(self.tree, None if self._changes is None else self._changes.copy_up)

    def close(self) -> None:
        """Idempotent. Files that were opened stay open."""
        if self._changes is not None:
            self._changes.close()
        self.tree.close()

    def __enter__(self) -> Union:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # Looking

    def node(self, path: str | bytes) -> Node:
        """The node at ``path``; ``ENOENT``, or ``ENOTDIR`` when a file is in the way."""
        node: Node = self.tree.root
        for name in _split(path):
            if not isinstance(node, DirectoryNode):
                raise failure(errno.ENOTDIR, os.fsencode(path))
            child = self.tree.lookup(node, name)
            if child is None:
                raise failure(errno.ENOENT, os.fsencode(path))
            node = child
        return node

    def lstat(self, path: str | bytes) -> Status:
        node = self.node(path)
        status = self.tree.status(node)
        links, blocks = status.st_nlink, status.st_blocks
        if node in self.tree.metacopies:
            directory, place = self.tree.data_place(node)
            blocks = os.stat(place, dir_fd=directory, follow_symlinks=False).st_blocks
        if isinstance(node, DirectoryNode):
            links = directory_links(self.tree, node, links)
        elif self.tree.index is not None:
            links = self.tree.index.shown_links(node, links)
        return Status(
            status.st_mode,
            node.number,
            links,
            self._owners.users.shown(status.st_uid),
            self._owners.groups.shown(status.st_gid),
            status.st_rdev,
            status.st_size,
            blocks,
            status.st_atime_ns,
            status.st_mtime_ns,
            status.st_ctime_ns,
        )

    def exists(self, path: str | bytes) -> bool:
        """Whether the union shows something at ``path``."""
        try:
            self.node(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def entries(self, path: str | bytes = b"") -> list[Entry]:
        """A directory's names with kind and inode number, sorted."""
        return sorted(self.tree.listing(self._directory(path)))

    def listdir(self, path: str | bytes = b"") -> list[bytes]:
        """A directory's names, sorted."""
        return [entry.name for entry in self.entries(path)]

    def scan(self, path: str | bytes = b"") -> list[Origin]:
        """A directory's names with where each comes from."""
        directory = self._directory(path)
        prefix = b"/".join(_split(path))
        found = []
        for entry in sorted(self.tree.listing(directory)):
            node = self.tree.lookup(directory, entry.name)
            assert node is not None
            found.append(origin(self.tree, _join(prefix, entry.name), directory, entry.name, node))
        return found

    def which(self, path: str | bytes) -> Origin:
        """Where ``path`` comes from."""
        node = self.node(path)
        parent, name = self._parent(path)
        return origin(self.tree, b"/".join(_split(path)), parent, name, node)

    def all(self, path: str | bytes) -> list[Presence]:
        """Every layer that has something at ``path``, visible or not, whiteouts too."""
        return presences(self.tree, *self._parent(path))

    def walk(self, path: str | bytes = b"") -> Iterator[tuple[bytes, list[Entry]]]:
        """Every directory from ``path`` down with its entries, parents first."""
        stack = [b"/".join(_split(path))]
        while stack:
            place = stack.pop()
            entries = self.entries(place)
            yield place, entries
            stack += [_join(place, entry.name) for entry in reversed(entries) if entry.kind == stat.S_IFDIR]

    def readlink(self, path: str | bytes) -> bytes:
        node = self.node(path)
        if node.kind != stat.S_IFLNK:
            raise failure(errno.EINVAL, os.fsencode(path))
        directory, place = self.tree.place(node)
        return os.readlink(place, dir_fd=directory)

    def getxattr(self, path: str | bytes, name: str) -> bytes:
        return self.attributes.get(self.node(path), name)

    def listxattr(self, path: str | bytes) -> list[str]:
        return self.attributes.list(self.node(path))

    def statvfs(self) -> os.statvfs_result:
        """Of the upper directory's file system, or the top lower one's."""
        layer = self.tree.upper or self.tree.lowers[0]
        return os.statvfs(layer.prefix)

    # Files

    def open(self, path: str | bytes, flags: int = os.O_RDONLY, mode: int = 0o666) -> int:
        """A descriptor of the file at ``path``, as ``open(2)`` with ``O_NOFOLLOW``.

        It is the layer's own file: one opened for reading before the file is copied up keeps the lower version's data.
        """
        writing = flags & (os.O_WRONLY | os.O_RDWR | os.O_TRUNC)
        if flags & os.O_CREAT:
            try:
                node = self.node(path)
            except FileNotFoundError:
                return self._create(path, mode, flags)
            if flags & os.O_EXCL:
                raise failure(errno.EEXIST, os.fsencode(path))
        else:
            node = self.node(path)
        if writing:
            if node.is_directory:
                raise failure(errno.EISDIR, os.fsencode(path))
            self._change().copy_up.ensure(node, 0 if flags & os.O_TRUNC else None)
        directory, place = self.tree.data_place(node)
        flags = flags & ~(os.O_CREAT | os.O_EXCL) | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(place, flags, dir_fd=directory)

    def _create(self, path: str | bytes, mode: int, flags: int) -> int:
        parent, name = self._parent(path)
        made = self._change().making.file(parent, name, mode, flags, self._creator())
        return made.descriptor

    # Changing

    def mkdir(self, path: str | bytes, mode: int = 0o777) -> None:
        """As ``mkdir(2)``, which takes permissions and the sticky bit."""
        parent, name = self._new_name(path)
        self._change().making.directory(parent, name, mode & 0o1777, self._creator())

    def mknod(self, path: str | bytes, mode: int = 0o600 | stat.S_IFREG, device: int = 0) -> None:
        parent, name = self._new_name(path)
        self._change().making.special(parent, name, mode, device, self._creator())

    def symlink(self, target: str | bytes, path: str | bytes) -> None:
        parent, name = self._new_name(path)
        self._change().making.symlink(parent, name, os.fsencode(target), self._creator())

    def link(self, source: str | bytes, path: str | bytes) -> None:
        node = self.node(source)
        parent, name = self._new_name(path)
        self._change().making.link(node, parent, name)

    def unlink(self, path: str | bytes) -> None:
        parent, name = self._parent(path)
        self._change().removing.unlink(parent, name)

    def rmdir(self, path: str | bytes) -> None:
        parent, name = self._parent(path)
        self._change().removing.rmdir(parent, name)

    def rename(self, source: str | bytes, target: str | bytes, flags: int = 0) -> None:
        """With the flags of ``renameat2``."""
        parent, name = self._parent(source)
        new_parent, new_name = self._parent(target)
        self._change().renaming.rename(parent, name, new_parent, new_name, flags)

    def chmod(self, path: str | bytes, mode: int) -> None:
        self.attributes.chmod(self.node(path), mode)

    def chown(self, path: str | bytes, uid: int, gid: int) -> None:
        uid = uid if uid < 0 else self._owners.users.stored(uid)
        gid = gid if gid < 0 else self._owners.groups.stored(gid)
        self.attributes.chown(self.node(path), uid, gid)

    def utime(self, path: str | bytes, ns: tuple[int, int] | None = None) -> None:
        self.attributes.set_times(self.node(path), ns)

    def truncate(self, path: str | bytes, size: int) -> None:
        self.attributes.truncate(self.node(path), size)

    def setxattr(self, path: str | bytes, name: str, value: bytes, flags: int = 0) -> None:
        self.attributes.set(self.node(path), name, value, flags)

    def removexattr(self, path: str | bytes, name: str) -> None:
        self.attributes.remove(self.node(path), name)

    def copy_up(self, path: str | bytes) -> None:
        """Have ``path`` in the upper directory without changing it."""
        self._change().copy_up.ensure(self.node(path))

    def _change(self) -> Changes:
        if self._changes is None:
            raise failure(errno.EROFS)
        return self._changes

    def _creator(self) -> Creator:
        umask = os.umask(0o077)
        os.umask(umask)
        return Creator(self._owners.users.stored(os.geteuid()), self._owners.groups.stored(os.getegid()), umask)

    def _directory(self, path: str | bytes) -> DirectoryNode:
        node = self.node(path)
        if not isinstance(node, DirectoryNode):
            raise failure(errno.ENOTDIR, os.fsencode(path))
        return node

    def _parent(self, path: str | bytes) -> tuple[DirectoryNode, bytes]:
        names = _split(path)
        if not names:
            raise failure(errno.EBUSY, b"/")
        return self._directory(b"/".join(names[:-1])), names[-1]

    def _new_name(self, path: str | bytes) -> tuple[DirectoryNode, bytes]:
        parent, name = self._parent(path)
        if self.tree.lookup(parent, name) is not None:
            raise failure(errno.EEXIST, os.fsencode(path))
        return parent, name


def _split(path: str | bytes) -> list[bytes]:
    """The names in ``path``. ``..`` is refused: a path is a place, not a way."""
    names = [name for name in os.fsencode(path).split(b"/") if name not in (b"", b".")]
    if b".." in names:
        raise failure(errno.EINVAL, os.fsencode(path))
    return names


def _join(directory: bytes, name: bytes) -> bytes:
    return directory + b"/" + name if directory else name
