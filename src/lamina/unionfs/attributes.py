"""Changing what a file is, not what it is called: mode, owner, times, size, extended attributes."""

from __future__ import annotations

import errno
import os
import stat

from lamina.unionfs.copyup import CopyUp
from lamina.unionfs.making import failure
from lamina.unionfs.node import DirectoryNode, Node
from lamina.unionfs.tree import Tree


class Attributes:
    """Reads and writes attributes in one tree. Every change copies up first."""

    def __init__(self, tree: Tree, copy_up: CopyUp | None) -> None:
        """Without ``copy_up`` every change is ``EROFS``."""
        self._tree = tree
        self._copy_up = copy_up

    def chmod(self, node: Node, mode: int) -> None:
        """Of anything but a symbolic link, whose mode can't change (``EOPNOTSUPP``)."""
        if node.kind == stat.S_IFLNK:
            raise failure(errno.EOPNOTSUPP)
        if not node.upper:
            self._ensure(node)
        if node.descriptors:
            os.chmod(node.descriptors[0], mode)
        else:
            directory, path = self._tree.place(node)
            os.chmod(path, mode, dir_fd=directory)

    def chown(self, node: Node, uid: int, gid: int) -> None:
        """-1 leaves one as it is."""
        if not node.upper:
            self._ensure(node)
        if node.descriptors:
            os.chown(node.descriptors[0], uid, gid)
        else:
            directory, path = self._tree.place(node)
            os.chown(path, uid, gid, dir_fd=directory, follow_symlinks=directory < 0)

    def set_times(self, node: Node, times: tuple[int, int] | None) -> None:
        """Access and modification time in nanoseconds; ``None`` is now for both."""
        if not node.upper:
            self._ensure(node)
        if node.descriptors and times is not None:
            os.utime(node.descriptors[0], ns=times)
            return
        directory, path = self._tree.place(node)
        if times is None:
            os.utime(path, dir_fd=directory, follow_symlinks=directory < 0)
        else:
            os.utime(path, ns=times, dir_fd=directory, follow_symlinks=directory < 0)

    def truncate(self, node: Node, size: int) -> None:
        """Of a regular file."""
        if node.kind != stat.S_IFREG:
            raise failure(errno.EISDIR if node.is_directory else errno.EINVAL)
        self._ensure(node, size if size == 0 else None, data=True)
        descriptor, path = self._tree.place(node)
        flags = os.O_WRONLY | os.O_CLOEXEC | (os.O_NOFOLLOW if descriptor >= 0 else 0)
        file = os.open(path, flags, dir_fd=descriptor)
        try:
            os.ftruncate(file, size)
        finally:
            os.close(file)

    def get(self, node: Node, name: str) -> bytes:
        """An extended attribute. The marks of the union itself do not show (``EOPNOTSUPP``, as in the kernel's)."""
        path, stored, follow = self._where(node, name)
        return os.getxattr(path, stored, follow_symlinks=follow)

    def set(self, node: Node, name: str, value: bytes, flags: int = 0) -> None:
        """``flags``: ``XATTR_CREATE`` or ``XATTR_REPLACE``."""
        self._ensure(node)
        path, stored, follow = self._where(node, name)
        node.bare = False
        if isinstance(node, DirectoryNode):
            node.default_acl = None
        os.setxattr(path, stored, value, flags, follow_symlinks=follow)

    def remove(self, node: Node, name: str) -> None:
        path, stored, follow = self._where(node, name)
        if not node.upper:
            os.getxattr(path, stored, follow_symlinks=follow)  # nothing is copied up for a missing one
            self._ensure(node)
            path, stored, follow = self._where(node, name)
        if isinstance(node, DirectoryNode):
            node.default_acl = None
        os.removexattr(path, stored, follow_symlinks=follow)

    def list(self, node: Node) -> list[str]:
        """Names, without the union's own."""
        path, follow = self._path(node)
        try:
            names = os.listxattr(path, follow_symlinks=follow)
        except OSError as error:
            if error.errno == errno.EOPNOTSUPP:
                return []
            raise
        shown = (self._tree.marks.shown_name(name) for name in names)
        return [name for name in shown if name is not None]

    def _ensure(self, node: Node, size: int | None = None, *, data: bool = False) -> None:
        if self._copy_up is None:
            raise failure(errno.EROFS)
        self._copy_up.ensure(node, size, data=data)

    def _where(self, node: Node, name: str) -> tuple[bytes, str, bool]:
        path, follow = self._path(node)
        return path, self._tree.marks.stored_name(name), follow

    def _path(self, node: Node) -> tuple[bytes, bool]:
        directory, path = self._tree.place(node)
        if directory < 0:
            return path, True
        if path.startswith(b"/"):
            return path, False
        return b"/proc/self/fd/%d/%s" % (directory, path), False
