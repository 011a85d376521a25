"""Taking names away: unlink, rmdir. What lower layers have under the name is hidden by a whiteout in the same step."""

from __future__ import annotations

import errno
import os
import stat

from lamina.linux.files import RENAME_EXCHANGE, renameat2
from lamina.unionfs.layer import Layer
from lamina.unionfs.making import Making, failure
from lamina.unionfs.node import DirectoryNode, Node
from lamina.unionfs.tree import Tree
from lamina.unionfs.work import WorkDirectory


class Removing:
    """Removes names from one tree."""

    def __init__(self, tree: Tree, work: WorkDirectory, making: Making) -> None:
        self._tree = tree
        self._work = work
        self._making = making

    def unlink(self, parent: DirectoryNode, name: bytes) -> Node:
        """Remove a file's name; the node lives on while it is open."""
        node = self._tree.lookup(parent, name)
        if node is None:
            raise failure(errno.ENOENT, name)
        if node.is_directory:
            raise failure(errno.EISDIR, name)
        upper = self._making.begin(parent, name)
        self.remember(node)
        try:
            if not node.upper:
                self._tree.marks.make_whiteout(upper, parent.path, name)
            elif parent.lowers and self._tree.lower_has(parent, name):
                self._replace_by_whiteout(upper, parent, name, is_directory=False)
            else:
                os.unlink(parent.path + b"/" + name, dir_fd=upper.descriptor)
        except BaseException:
            node.last = None  # it keeps its name
            raise
        self._tree.drop_name(node, parent, name)
        return node

    def rmdir(self, parent: DirectoryNode, name: bytes) -> Node:
        """Remove a directory in which nothing shows."""
        node = self._tree.lookup(parent, name)
        if node is None:
            raise failure(errno.ENOENT, name)
        if not isinstance(node, DirectoryNode):
            raise failure(errno.ENOTDIR, name)
        if node.lowers and self._tree.listing(node):
            raise failure(errno.ENOTEMPTY, name)
        upper = self._making.begin(parent, name)
        covered = bool(parent.lowers) and self._tree.lower_has(parent, name)
        last = self._tree.status(node)
        if not node.upper:
            self._tree.marks.make_whiteout(upper, parent.path, name)
        elif covered:
            if not node.lowers and self._tree.listing(node):
                raise failure(errno.ENOTEMPTY, name)
            self._replace_by_whiteout(upper, parent, name, is_directory=True)
        else:
            self._remove_directory(upper, node, parent.path + b"/" + name)
        node.upper = True  # from now on it is nameless, and only what is remembered is left
        node.last = last
        self._tree.drop_name(node, parent, name)
        return node

    def remember(self, node: Node) -> None:
        """Keep the status of a file that is about to lose its last name; the kernel may still ask for it."""
        if self._tree.index is not None:
            self._tree.index.before_removal(node)
        if node.upper and node in self._tree.borrowers and not node.aliases:
            self._making.copy_up.complete(node)  # from then on its open file is all there is of it
        if node.lookups and not node.aliases and not (node.upper and node.descriptors):
            node.last = self._tree.status(node)

    def clear(self, node: DirectoryNode) -> None:
        """Replace an upper directory in which only whiteouts are left by an empty one, so that it can be replaced."""
        upper = self._tree.upper
        assert upper is not None
        if not node.upper or not os.listdir(upper.absolute(node.path)):
            return
        status = self._tree.status(node)
        _, path = self._tree.place(node)
        staged = self._work.new_name()
        work = self._work.descriptor
        os.mkdir(staged, 0o700, dir_fd=work)
        try:
            os.chown(staged, status.st_uid, status.st_gid, dir_fd=work)
            os.chmod(staged, stat.S_IMODE(status.st_mode), dir_fd=work)
            self._tree.marks.set_opaque(self._work.layer, staged)
            renameat2(staged, path, source_directory=work, target_directory=upper.descriptor, flags=RENAME_EXCHANGE)
        finally:
            self._work.remove(staged)

    def _remove_directory(self, upper: Layer, node: DirectoryNode, path: bytes) -> None:
        try:
            os.rmdir(path, dir_fd=upper.descriptor)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            if not node.lowers and self._tree.listing(node):
                raise
            self._move_out(upper, path)

    def _move_out(self, upper: Layer, path: bytes) -> None:
        """Let a directory disappear at once with the marks in it."""
        staged = self._work.new_name()
        os.rename(path, staged, src_dir_fd=upper.descriptor, dst_dir_fd=self._work.descriptor)
        self._work.remove(staged)

    def _replace_by_whiteout(self, upper: Layer, parent: DirectoryNode, name: bytes, *, is_directory: bool) -> None:
        marks = self._tree.marks
        path = parent.path + b"/" + name
        if not marks.redirects:  # AUFS: the whiteout has a name of its own and hides what is beside it
            marks.make_whiteout(upper, parent.path, name)
            if is_directory:
                self._move_out(upper, path)
            else:
                os.unlink(path, dir_fd=upper.descriptor)
            return
        staged = self._work.new_name()
        marks.make_whiteout(self._work.layer, b".", staged[2:])
        work = self._work.descriptor
        try:
            if is_directory:
                renameat2(staged, path, source_directory=work, target_directory=upper.descriptor, flags=RENAME_EXCHANGE)
            else:
                os.rename(staged, path, src_dir_fd=work, dst_dir_fd=upper.descriptor)
        except BaseException:
            self._work.remove(staged)
            raise
        if is_directory:
            self._work.remove(staged)
