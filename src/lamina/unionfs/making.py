"""Making new names: files, directories, links. Each appears at once, with its owner, mode and marks, or not at all."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable

from lamina.linux.files import RENAME_EXCHANGE, renameat2
from lamina.typing import NamedTuple
from lamina.unionfs.copyup import CopyUp
from lamina.unionfs.layer import Layer
from lamina.unionfs.marks import OverlayMarks, attribute
from lamina.unionfs.node import DirectoryNode, Node
from lamina.unionfs.tree import Tree
from lamina.unionfs.work import WorkDirectory

_DEFAULT_ACL = "system.posix_acl_default"


class Creator(NamedTuple):
    """For whom something is made: the new file's owner, and what its mode loses."""

    uid: int
    gid: int
    umask: int = 0


class Made(NamedTuple):
    """A new node, as it is now; ``descriptor`` for files that are open, otherwise -1."""

    node: Node
    status: os.stat_result
    descriptor: int


#: Makes something under a path relative to a directory descriptor; the descriptor of what it opened or -1.
_Make = Callable[[int, bytes, int], int]


def failure(number: int, name: bytes | None = None) -> OSError:
    """The :class:`OSError` for ``number``."""
    return OSError(number, os.strerror(number), name)


class Making:
    """Makes names in one tree."""

    def __init__(self, tree: Tree, work: WorkDirectory, copy_up: CopyUp) -> None:
        self._tree = tree
        self._work = work
        self.copy_up = copy_up
        self._identity = (os.geteuid(), os.getegid())
        #: No name means anything but itself.
        self._plain_names = type(tree.marks) is OverlayMarks

    def begin(self, parent: DirectoryNode, name: bytes) -> Layer:
        """The upper layer, ready for ``name`` in ``parent``. Raises ``EROFS``, and ``EPERM`` for a reserved name."""
        upper = self._tree.upper
        if upper is None:
            raise failure(errno.EROFS, name)
        if self._tree.marks.reserved(name):
            raise failure(errno.EPERM, name)
        if parent.parent is None and parent is not self._tree.root:
            raise failure(errno.ENOENT, name)
        if not parent.upper:
            self.copy_up.ensure(parent)
        return upper

    def file(self, parent: DirectoryNode, name: bytes, mode: int, flags: int, creator: Creator) -> Made:
        """A new regular file, open with ``flags``."""
        flags = flags & ~(os.O_TRUNC | os.O_APPEND | os.O_DIRECT) | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        if self._is_plain(parent, creator):
            path = parent.path + b"/" + name
            try:
                descriptor = os.open(path, flags, mode & 0o7777 & ~creator.umask, dir_fd=self._tree.upper_descriptor)
            except FileExistsError:
                pass  # perhaps only a whiteout
            else:
                return self._register_file(parent, name, descriptor)

        def make(directory: int, path: bytes, mode: int) -> int:
            return os.open(path, flags, mode, dir_fd=directory)

        return self._make(parent, name, stat.S_IFREG | stat.S_IMODE(mode), creator, make)

    def _is_plain(self, parent: DirectoryNode, creator: Creator) -> bool:
        """Whether what is made in ``parent`` needs no look at anything before, and no change after, one system call."""
        return (
            parent.upper
            and not parent.lowers
            and parent.default_acl is False
            and parent.parent is not None
            and creator[:2] == self._identity
            and self._plain_names
        )

    def _register_file(self, parent: DirectoryNode, name: bytes, descriptor: int) -> Made:
        status = os.fstat(descriptor)
        upper = self._tree.upper
        assert upper is not None
        node = Node(parent, name, stat.S_IFREG, status.st_ino + upper.number_base)
        node.upper = node.bare = True
        parent.children[name] = node
        return Made(node, status, descriptor)

    def directory(self, parent: DirectoryNode, name: bytes, mode: int, creator: Creator) -> Made:
        def make(directory: int, path: bytes, mode: int) -> int:
            os.mkdir(path, mode, dir_fd=directory)
            return -1

        # mkdir(2) takes permissions and the sticky bit; set-group-ID comes from the parent or not at all.
        return self._make(parent, name, stat.S_IFDIR | mode & 0o1777, creator, make)

    def special(self, parent: DirectoryNode, name: bytes, mode: int, device: int, creator: Creator) -> Made:
        """``mknod``. A device 0:0 would be a whiteout, so it is refused with ``EPERM`` as the kernel does."""
        if stat.S_ISCHR(mode) and device == 0:
            raise failure(errno.EPERM, name)

        def make(directory: int, path: bytes, permissions: int) -> int:
            os.mknod(path, stat.S_IFMT(mode) | permissions, device, dir_fd=directory)
            return -1

        return self._make(parent, name, mode if stat.S_IFMT(mode) else mode | stat.S_IFREG, creator, make)

    def symlink(self, parent: DirectoryNode, name: bytes, target: bytes, creator: Creator) -> Made:
        def make(directory: int, path: bytes, mode: int) -> int:
            os.symlink(target, path, dir_fd=directory)
            return -1

        return self._make(parent, name, stat.S_IFLNK | 0o777, creator, make)

    def link(self, node: Node, parent: DirectoryNode, name: bytes) -> os.stat_result:
        """One more name for ``node``; the status afterwards."""
        if node.is_directory:
            raise failure(errno.EPERM, name)
        upper = self.begin(parent, name)
        self._refuse_existing(upper, parent, name)
        self.copy_up.ensure(node, data=False)
        self.copy_up.let_find_data(node)
        source, path = self._tree.place(node)
        follow = source < 0
        target = parent.path + b"/" + name
        if self._tree.marks.has_whiteout(upper, parent.path, name):
            staged = self._work.new_name()
            os.link(path, staged, src_dir_fd=source, dst_dir_fd=self._work.descriptor, follow_symlinks=follow)
            self.place(staged, parent, name, is_directory=False)
        else:
            os.link(path, target, src_dir_fd=source, dst_dir_fd=upper.descriptor, follow_symlinks=follow)
        self._tree.add_name(node, parent, name)
        status = os.stat(target, dir_fd=upper.descriptor, follow_symlinks=False)
        if status.st_nlink > 1:
            self._tree.linked[status.st_ino] = node
        return status

    def temporary_file(self, parent: DirectoryNode, mode: int, flags: int, creator: Creator) -> Made:
        """``O_TMPFILE``: a nameless file that :meth:`link` can name, with its descriptor in ``descriptors``."""
        upper = self.begin(parent, b"")
        permissions, uid, gid = self._permissions(upper, parent, stat.S_IFREG | stat.S_IMODE(mode), creator)
        flags = flags & ~(os.O_CREAT | os.O_EXCL | os.O_TRUNC | os.O_APPEND | os.O_DIRECT) | os.O_CLOEXEC
        descriptor = os.open(parent.path, flags | os.O_TMPFILE, permissions, dir_fd=upper.descriptor)
        try:
            if (uid, gid) != self._identity:
                os.fchown(descriptor, uid, gid)
            status = os.fstat(descriptor)
            node = Node(None, b"", stat.S_IFREG, status.st_ino + upper.number_base)
            node.upper = True
            node.descriptors = [descriptor]
        except BaseException:
            os.close(descriptor)
            raise
        return Made(node, status, descriptor)

    def place(self, staged: bytes, parent: DirectoryNode, name: bytes, *, is_directory: bool) -> None:
        """Let what is staged appear under ``name``, where the upper layer has a whiteout or nothing."""
        upper = self._tree.upper
        assert upper is not None
        target = parent.path + b"/" + name
        work = self._work.descriptor
        try:
            if is_directory and upper.status(target) is not None:
                renameat2(
                    staged, target, source_directory=work, target_directory=upper.descriptor, flags=RENAME_EXCHANGE
                )
                self._work.remove(staged)
            else:
                os.rename(staged, target, src_dir_fd=work, dst_dir_fd=upper.descriptor)
        except BaseException:
            self._work.remove(staged)
            raise
        if not self._tree.marks.redirects:  # AUFS: the whiteout is a name of its own
            self._tree.marks.remove_whiteout(upper, parent.path, name)

    def _refuse_existing(self, upper: Layer, parent: DirectoryNode, name: bytes) -> bool:
        """Raise ``EEXIST`` if lower layers show ``name``; whether they have it under a whiteout."""
        if not parent.lowers or not self._tree.lower_has(parent, name):
            return False
        if not self._tree.marks.has_whiteout(upper, parent.path, name):
            raise failure(errno.EEXIST, name)
        return True

    def _make(self, parent: DirectoryNode, name: bytes, mode: int, creator: Creator, make: _Make) -> Made:
        upper = self.begin(parent, name)
        covered = self._refuse_existing(upper, parent, name)
        path = parent.path + b"/" + name
        permissions, uid, gid = self._permissions(upper, parent, mode, creator)
        descriptor = -1
        staged = covered or (uid, gid) != self._identity or not self._tree.marks.redirects
        if not staged:
            try:
                descriptor = make(upper.descriptor, path, permissions)
            except FileExistsError:
                if not self._tree.marks.has_whiteout(upper, parent.path, name):
                    raise
                staged = True
        if staged:
            if parent.children.get(name) is not None or (not covered and self._exists(upper, parent, name)):
                raise failure(errno.EEXIST, name)
            descriptor = self._make_staged(
                parent, name, stat.S_IFMT(mode) | permissions, (uid, gid), make, opaque=covered
            )
        return self._register(upper, parent, name, mode, descriptor)

    def _exists(self, upper: Layer, parent: DirectoryNode, name: bytes) -> bool:
        found = self._tree.marks.find(upper, parent.path, name)
        return isinstance(found, os.stat_result)

    def _register(self, upper: Layer, parent: DirectoryNode, name: bytes, mode: int, descriptor: int) -> Made:
        status = os.stat(parent.path + b"/" + name, dir_fd=upper.descriptor, follow_symlinks=False)
        number = status.st_ino + upper.number_base
        if stat.S_ISDIR(mode):
            directory = DirectoryNode(parent, name, number)
            directory.complete = True
            directory.default_acl = parent.default_acl
            node: Node = directory
        else:
            node = Node(parent, name, stat.S_IFMT(mode), number)
        node.upper = True
        node.bare = not parent.default_acl
        parent.children[name] = node
        if isinstance(node, DirectoryNode):
            self._tree.anchor(node)
        return Made(node, status, descriptor)

    def _permissions(self, upper: Layer, parent: DirectoryNode, mode: int, creator: Creator) -> tuple[int, int, int]:
        """Permission bits, owner and group of a new file. A default access control list replaces the umask."""
        permissions = stat.S_IMODE(mode)
        if parent.default_acl is None:
            parent.default_acl = attribute(upper, parent.path, _DEFAULT_ACL) is not None
        if not parent.default_acl:
            permissions &= ~creator.umask
        if (creator.uid, creator.gid) == self._identity:
            return permissions, creator.uid, creator.gid  # the file system inherits the group by itself
        status = os.stat(parent.path, dir_fd=upper.descriptor, follow_symlinks=False)
        if not status.st_mode & stat.S_ISGID:
            return permissions, creator.uid, creator.gid
        return permissions | (stat.S_ISGID if stat.S_ISDIR(mode) else 0), creator.uid, status.st_gid

    def _make_staged(
        self, parent: DirectoryNode, name: bytes, mode: int, owner: tuple[int, int], make: _Make, *, opaque: bool
    ) -> int:
        staged = self._work.new_name()
        inside = self._nursery(parent) if parent.default_acl else None
        work = self._work.descriptor
        descriptor = -1
        try:
            made = staged if inside is None else inside + b"/x"
            descriptor = make(work, made, stat.S_IMODE(mode))
            self._finish(made, mode, owner, inherited=inside is not None)
            if opaque and stat.S_ISDIR(mode):
                self._tree.marks.set_opaque(self._work.layer, made)
            if inside is not None:
                os.rename(made, staged, src_dir_fd=work, dst_dir_fd=work)
            self.place(staged, parent, name, is_directory=stat.S_ISDIR(mode))
        except BaseException:
            if descriptor >= 0:
                os.close(descriptor)
            self._work.remove(staged)
            raise
        finally:
            if inside is not None:
                self._work.remove(inside)
        return descriptor

    def _finish(self, made: bytes, mode: int, owner: tuple[int, int], *, inherited: bool) -> None:
        """Owner and mode; what a default access control list made of the mode stays."""
        work = self._work.descriptor
        uid, gid = owner
        if (uid, gid) != self._identity or self._work.group != gid:  # if set-group-ID, it gives its own group
            os.chown(made, uid, gid, dir_fd=work, follow_symlinks=False)
        if not inherited and not stat.S_ISLNK(mode):
            os.chmod(made, stat.S_IMODE(mode), dir_fd=work)

    def _nursery(self, parent: DirectoryNode) -> bytes:
        """A directory in the work directory with ``parent``'s default list, for the file system to apply it."""
        assert self._tree.upper is not None
        name = self._work.new_name()
        os.mkdir(name, 0o700, dir_fd=self._work.descriptor)
        acl = attribute(self._tree.upper, parent.path, _DEFAULT_ACL)
        if acl is not None:
            os.setxattr(self._work.layer.absolute(name), _DEFAULT_ACL, acl)
        return name
