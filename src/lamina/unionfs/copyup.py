"""Copy-up: giving the upper layer its own version of a lower file or directory before the first change.

The copy is made in the work directory with everything it needs (data with holes, owner, mode, times, extended
attributes) and appears by one ``rename``, so a crash leaves either the old state or the new one. The parent's times
stay.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable

from lamina.linux.files import copy_data
from lamina.unionfs.layer import Layer
from lamina.unionfs.marks import attribute
from lamina.unionfs.merging import Data
from lamina.unionfs.node import DirectoryNode, Node, lower_location
from lamina.unionfs.tree import Tree
from lamina.unionfs.work import WorkDirectory

_CAPABILITY = "security.capability"
#: Errors of attributes that the upper file system or this user can't write.
_UNWRITABLE = frozenset({errno.EOPNOTSUPP, errno.EPERM, errno.ENODATA})

#: A file's status and capability.
_Before = tuple[os.stat_result, bytes | None]


class CopyUp:
    """Copies nodes of one tree up."""

    def __init__(self, tree: Tree, work: WorkDirectory) -> None:
        self._tree = tree
        self._work = work
        #: Called before a file of ``size`` bytes is copied; it may raise to have that done elsewhere (:meth:`later`).
        self.before_data: Callable[[Node, int], None] | None = None
        #: Copies that are ready in the work directory, by node.
        self.staged: dict[Node, bytes] = {}
        #: Files in the upper layer that got their data, but are not marked so, and what they were like before.
        self._filled: dict[Node, _Before] = {}

    def ensure(self, node: Node, size: int | None = None, *, data: bool = True) -> None:
        """Have ``node`` in the upper layer. With ``size``, at most so much of a file's data is needed.

        With ``data`` false none is, if the union may leave it below. Raises ``EROFS`` when there is no upper layer.
        """
        if node.upper:
            if data and node in self._tree.metacopies:
                self.complete(node, size)
            return
        if node.parent is None:
            self._copy_nameless(node)
            return
        chain = [node]
        while (parent := chain[-1].parent) is not None and not parent.upper:
            chain.append(parent)
        for missing in reversed(chain):
            self._copy(missing, size, data=data or missing is not node)

    def _copy(self, node: Node, size: int | None, *, data: bool) -> None:
        upper, parent = self._tree.upper, node.parent
        if upper is None:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        assert parent is not None
        location = lower_location(node)
        assert location is not None
        status = os.stat(location.path, dir_fd=location.layer.descriptor, follow_symlinks=False)
        staged = self.staged.pop(node, None)
        borrowing = staged is None and not data and self._can_borrow(node, status)
        if borrowing:
            staged = self.stage(node, location.layer, location.path, status, None, borrowing=True)
        elif staged is None:
            if self.before_data is not None and node.kind == stat.S_IFREG and size is None:
                self.before_data(node, status.st_size)
            staged = self.stage(node, location.layer, location.path, status, size)
        target = parent.path + b"/" + node.name
        entry = None
        index = self._tree.index
        if index is not None and node.kind != stat.S_IFDIR and status.st_nlink > 1:
            entry = index.stage(staged, self._work.layer, location, status.st_nlink)
        times = os.stat(parent.path, dir_fd=upper.descriptor, follow_symlinks=False)
        try:
            os.rename(staged, target, src_dir_fd=self._work.descriptor, dst_dir_fd=upper.descriptor)
        except BaseException:
            self._work.remove(staged)
            raise
        os.utime(parent.path, ns=(times.st_atime_ns, times.st_mtime_ns), dir_fd=upper.descriptor)
        node.upper = True
        if isinstance(node, DirectoryNode):
            self._tree.anchor(node)
        else:
            if borrowing:
                known = self._tree.metacopies.get(node)
                layer, path = location if known is None else known[:2]
                lower_path = parent.lower_path + b"/" + node.name
                self._tree.metacopies[node] = Data(layer, path, lower_path, redirected=False)
                if node.descriptors:
                    self._tree.borrowers.setdefault(node, []).extend(node.descriptors)
                    node.descriptors = None
            else:
                self._tree.metacopies.pop(node, None)
                self._move_descriptors(node, upper.descriptor, target)
            node.lower = None
            if index is not None and entry is not None:
                index.copied(node, entry)

    def _can_borrow(self, node: Node, status: os.stat_result) -> bool:
        return self._tree.options.metacopy and node.kind == stat.S_IFREG and status.st_size > 0

    def complete(self, node: Node, size: int | None = None) -> None:
        """Give a file in the upper layer that has only metadata its data; 0 for ``size``: none."""
        upper = self._tree.upper
        assert upper is not None
        if size != 0 and node not in self._filled:
            if self.before_data is not None:
                self.before_data(node, self._tree.status(node).st_size)
            self.later(node)()
        directory, path = self._tree.place(node)
        if size == 0:
            os.truncate(self._tree.proc_path(node), 0)
        before = self._filled.pop(node, None)
        if before is not None and size != 0:
            self._restore(directory, path, before)
        self._tree.marks.remove_borrowed(upper, path)
        del self._tree.metacopies[node]
        useless = self.staged.pop(node, None)
        if useless is not None:
            self._work.remove(useless)
        self._move_descriptors(node, directory, path)

    def _restore(self, directory: int, path: bytes, before: _Before) -> None:
        """Put back what writing a file's data changed."""
        status, capability = before
        upper = self._tree.upper
        assert upper is not None
        if capability is not None:
            os.setxattr(upper.absolute(path), _CAPABILITY, capability, follow_symlinks=False)
        mode = stat.S_IMODE(status.st_mode)
        if stat.S_IMODE(os.stat(path, dir_fd=directory, follow_symlinks=False).st_mode) == mode & 0o1777 != mode:
            os.chmod(path, mode, dir_fd=directory)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns), dir_fd=directory, follow_symlinks=False)

    def later(self, node: Node) -> Callable[[], None]:
        """The slow part of copying up a file, to be done in any thread; the next :meth:`ensure` does the rest."""
        if node.upper:
            return self._fill_later(node)
        location = lower_location(node)
        assert location is not None
        status = os.stat(location.path, dir_fd=location.layer.descriptor, follow_symlinks=False)

        def stage() -> None:
            self.staged[node] = self.stage(node, location.layer, location.path, status, None)

        return stage

    def _fill_later(self, node: Node) -> Callable[[], None]:
        upper = self._tree.upper
        assert upper is not None
        data = self._tree.metacopies[node]
        directory, path = self._tree.place(node)
        status = os.stat(path, dir_fd=directory, follow_symlinks=False)
        before = (status, attribute(upper, path, _CAPABILITY))
        target = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)

        def fill() -> None:
            try:
                self._copy_data(data.layer, data.path, target)
                self._filled[node] = before
            finally:
                os.close(target)

        return fill

    def let_find_data(self, node: Node) -> None:
        """Have a file that has only metadata here find its data under any name; to be called before it gets one."""
        data = self._tree.metacopies.get(node)
        if data is None or data.redirected:
            return
        assert self._tree.upper is not None
        self._tree.marks.set_redirect(self._tree.upper, self._tree.place(node)[1], data.lower_path[1:])
        self._tree.metacopies[node] = data._replace(redirected=True)

    def _copy_nameless(self, node: Node) -> None:
        """Give a deleted lower file that is still open a version that can be changed; it stays without a name."""
        location = lower_location(node)
        if location is None or node.kind != stat.S_IFREG or self._tree.upper is None:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        status = os.stat(location.path, dir_fd=location.layer.descriptor, follow_symlinks=False)
        staged = self.stage(node, location.layer, location.path, status, None)
        keeper = os.open(staged, os.O_RDWR | os.O_CLOEXEC, dir_fd=self._work.descriptor)
        self._move_descriptors(node, self._work.descriptor, staged)
        self._work.remove(staged)
        node.descriptors = [*(node.descriptors or ()), keeper]
        self._tree.metacopies.pop(node, None)
        node.upper = True
        node.lower = None

    def stage(
        self,
        node: Node,
        layer: Layer,
        path: bytes,
        status: os.stat_result,
        size: int | None,
        *,
        borrowing: bool = False,
    ) -> bytes:
        """A finished copy in the work directory: its path there. Safe to call from another thread.

        With ``borrowing`` a file's data stays below.
        """
        name = self._work.new_name()
        try:
            if node.kind == stat.S_IFDIR:
                os.mkdir(name, 0o700, dir_fd=self._work.descriptor)
            elif borrowing:
                self._make_borrower(name, status.st_size)
            elif node.kind == stat.S_IFREG:
                data = self._tree.metacopies.get(node)
                self._copy_file(*((layer, path) if data is None else data[:2]), name, size)
            elif node.kind == stat.S_IFLNK:
                os.symlink(os.readlink(path, dir_fd=layer.descriptor), name, dir_fd=self._work.descriptor)
            else:
                os.mknod(name, node.kind | 0o600, status.st_rdev, dir_fd=self._work.descriptor)
            self._copy_metadata(node, layer.absolute(path), name, status)
        except BaseException:
            self._work.remove(name)
            raise
        return name

    def _make_borrower(self, name: bytes, size: int) -> None:
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
        target = os.open(name, flags, 0o600, dir_fd=self._work.descriptor)
        try:
            os.ftruncate(target, size)
        finally:
            os.close(target)
        self._tree.marks.set_borrowed(self._work.layer, name)

    def _copy_file(self, layer: Layer, path: bytes, name: bytes, size: int | None) -> None:
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
        target = os.open(name, flags, 0o600, dir_fd=self._work.descriptor)
        try:
            if size == 0:
                return
            self._copy_data(layer, path, target)
        finally:
            os.close(target)

    def _copy_data(self, layer: Layer, path: bytes, target: int) -> None:
        source = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=layer.descriptor)
        try:
            copy_data(source, target)
        finally:
            os.close(source)
        if not self._tree.options.volatile:
            os.fsync(target)

    def _copy_metadata(self, node: Node, source: bytes, name: bytes, status: os.stat_result) -> None:
        descriptor = self._work.descriptor
        target = self._work.layer.absolute(name)
        if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()) or status.st_mode & stat.S_ISGID:
            os.chown(name, status.st_uid, status.st_gid, dir_fd=descriptor, follow_symlinks=False)
        self._copy_attributes(source, target)
        if node.kind != stat.S_IFLNK:
            os.chmod(name, stat.S_IMODE(status.st_mode), dir_fd=descriptor)
        if node.kind != stat.S_IFDIR:
            self._keep_number(target, node.number)
        os.utime(name, ns=(status.st_atime_ns, status.st_mtime_ns), dir_fd=descriptor, follow_symlinks=False)

    def _copy_attributes(self, source: bytes, target: bytes) -> None:
        try:
            names = os.listxattr(source, follow_symlinks=False)
        except OSError as error:
            if error.errno in _UNWRITABLE:
                return
            raise
        for name in names:
            if self._tree.marks.private(name):
                continue
            try:
                os.setxattr(target, name, os.getxattr(source, name, follow_symlinks=False), follow_symlinks=False)
            except OSError as error:
                if error.errno not in _UNWRITABLE:
                    raise

    def _keep_number(self, target: bytes, number: int) -> None:
        if not self._tree.number_attribute:
            return
        try:
            os.setxattr(target, self._tree.number_attribute, b"%d" % number, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _UNWRITABLE:
                raise

    def _move_descriptors(self, node: Node, directory: int, target: bytes) -> None:
        """Files that were open on the lower version go on with the upper one, as Unix wants."""
        borrowers = self._tree.borrowers.pop(node, None)
        if borrowers:
            node.descriptors = [*(node.descriptors or ()), *borrowers]
        for descriptor in node.descriptors or ():
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
            replacement = os.open(target, flags, dir_fd=directory)
            try:
                os.dup2(replacement, descriptor, inheritable=False)
            finally:
                os.close(replacement)
