"""Rename: of files, of directories with lower parts (a redirect remembers where those are), exchange of two names."""

from __future__ import annotations

import errno
import os

from lamina.linux.files import RENAME_EXCHANGE, RENAME_NOREPLACE, RENAME_WHITEOUT, renameat2
from lamina.unionfs.copyup import CopyUp
from lamina.unionfs.layer import Layer
from lamina.unionfs.making import Making, failure
from lamina.unionfs.node import DirectoryNode, Node
from lamina.unionfs.removing import Removing
from lamina.unionfs.tree import Tree

#: A longer redirect may not fit where file systems keep attributes.
_REDIRECT_LIMIT = 2048


class Renaming:
    """Renames in one tree."""

    def __init__(self, tree: Tree, copy_up: CopyUp, making: Making, removing: Removing) -> None:
        self._tree = tree
        self._copy_up = copy_up
        self._making = making
        self._removing = removing

    def rename(
        self, parent: DirectoryNode, name: bytes, new_parent: DirectoryNode, new_name: bytes, flags: int = 0
    ) -> None:
        """``renameat2`` with its flags; with ``RENAME_WHITEOUT`` the old name gets a whiteout in any case.

        ``EXDEV`` for a directory with lower parts where redirects can't be written; ``mv`` then copies.
        """
        if flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT) or (
            flags & RENAME_EXCHANGE and flags & ~RENAME_EXCHANGE
        ):
            raise failure(errno.EINVAL, name)
        node = self._tree.lookup(parent, name)
        if node is None:
            raise failure(errno.ENOENT, name)
        target = self._tree.lookup(new_parent, new_name)
        if target is not None and flags & RENAME_NOREPLACE:
            raise failure(errno.EEXIST, new_name)
        if target is node:
            return
        self._making.begin(parent, name)
        upper = self._making.begin(new_parent, new_name)
        _refuse_loop(node, new_parent)
        if flags & RENAME_EXCHANGE:
            if target is None:
                raise failure(errno.ENOENT, new_name)
            _refuse_loop(target, parent)
            self._exchange(upper, (parent, name, node), (new_parent, new_name, target))
            return
        if target is not None:
            if _is_above(target, parent):
                raise failure(errno.ENOTEMPTY, new_name)
            self._refuse_replacing(node, target)
        self._copy_up.ensure(node, data=False)
        self._mark(upper, node, new_parent, new_name)
        hide = bool(flags & RENAME_WHITEOUT) or (bool(parent.lowers) and self._tree.lower_has(parent, name))
        try:
            if target is not None:
                self._removing.remember(target)
            if isinstance(target, DirectoryNode):
                target.last = self._tree.status(target)
                self._removing.clear(target)
            self._move(upper, node, (parent, name), (new_parent, new_name), hide=hide)
        except BaseException:
            if target is not None:
                target.last = None  # it keeps its name
            raise
        if target is not None:
            self._tree.drop_name(target, new_parent, new_name)
            target.upper = target.upper or target.is_directory
        self._replace_name(node, parent, name, new_parent, new_name)

    def _refuse_replacing(self, node: Node, target: Node) -> None:
        if isinstance(target, DirectoryNode):
            if not node.is_directory:
                raise failure(errno.EISDIR, target.name)
            if self._tree.listing(target):
                raise failure(errno.ENOTEMPTY, target.name)
        elif node.is_directory:
            raise failure(errno.ENOTDIR, target.name)

    def _mark(self, upper: Layer, node: Node, parent: DirectoryNode, name: bytes) -> None:
        """Let a directory find the lower parts that it has, and only those, at its new place."""
        if not isinstance(node, DirectoryNode):
            self._copy_up.let_find_data(node)
            return
        marks = self._tree.marks
        if not node.lowers:
            if parent.lowers and self._tree.lower_has(parent, name):
                marks.set_opaque(upper, node.path)
            return
        if self._tree.redirect_dir != "on" or not marks.redirects:
            raise failure(errno.EXDEV, node.name)
        beside, _, old_name = node.lower_path.rpartition(b"/")
        redirect = old_name if parent.lowers and beside == parent.lower_path else node.lower_path[1:]
        if len(redirect) > _REDIRECT_LIMIT:
            raise failure(errno.EXDEV, node.name)
        marks.set_redirect(upper, node.path, redirect)

    def _move(
        self,
        upper: Layer,
        node: Node,
        old: tuple[DirectoryNode, bytes],
        new: tuple[DirectoryNode, bytes],
        *,
        hide: bool,
    ) -> None:
        marks = self._tree.marks
        source, target = (parent.path + b"/" + name for parent, name in (old, new))
        if not marks.redirects:
            marks.remove_whiteout(upper, *_place(new))
            os.rename(source, target, src_dir_fd=upper.descriptor, dst_dir_fd=upper.descriptor)
            if hide:
                marks.make_whiteout(upper, *_place(old))
        elif node.is_directory and marks.has_whiteout(upper, *_place(new)):
            _renameat2(upper, source, target, RENAME_EXCHANGE)
            if not hide:
                marks.remove_whiteout(upper, *_place(old))
        elif hide:
            self._rename_hiding(upper, source, target, old)
        else:
            os.rename(source, target, src_dir_fd=upper.descriptor, dst_dir_fd=upper.descriptor)

    def _rename_hiding(self, upper: Layer, source: bytes, target: bytes, old: tuple[DirectoryNode, bytes]) -> None:
        try:
            _renameat2(upper, source, target, RENAME_WHITEOUT)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOSYS):
                raise
            # the file system knows no whiteouts: for a moment the lower version shows
            os.rename(source, target, src_dir_fd=upper.descriptor, dst_dir_fd=upper.descriptor)
            self._tree.marks.make_whiteout(upper, *_place(old))

    def _exchange(
        self, upper: Layer, first: tuple[DirectoryNode, bytes, Node], second: tuple[DirectoryNode, bytes, Node]
    ) -> None:
        (parent, name, node), (other_parent, other_name, other) = first, second
        self._copy_up.ensure(node, data=False)
        self._copy_up.ensure(other, data=False)
        self._mark(upper, node, other_parent, other_name)
        self._mark(upper, other, parent, name)
        _renameat2(upper, parent.path + b"/" + name, other_parent.path + b"/" + other_name, RENAME_EXCHANGE)
        del parent.children[name]
        del other_parent.children[other_name]
        self._set_name(node, parent, name, other_parent, other_name)
        self._set_name(other, other_parent, other_name, parent, name)

    def _replace_name(
        self, node: Node, parent: DirectoryNode, name: bytes, new_parent: DirectoryNode, new_name: bytes
    ) -> None:
        parent.children.pop(name, None)
        self._set_name(node, parent, name, new_parent, new_name)

    def _set_name(
        self, node: Node, parent: DirectoryNode, name: bytes, new_parent: DirectoryNode, new_name: bytes
    ) -> None:
        new_parent.children[new_name] = node
        if isinstance(node, DirectoryNode):
            for changed in node.set_place(new_parent, new_name):
                self._tree.anchor(changed)
        elif node.parent is parent and node.name == name:
            node.parent, node.name = new_parent, new_name
        else:
            aliases = [alias for alias in node.aliases or () if alias != (parent, name)]
            node.aliases = [*aliases, (new_parent, new_name)]


def _place(name: tuple[DirectoryNode, bytes]) -> tuple[bytes, bytes]:
    parent, base = name
    return parent.path, base


def _renameat2(upper: Layer, source: bytes, target: bytes, flags: int) -> None:
    renameat2(source, target, source_directory=upper.descriptor, target_directory=upper.descriptor, flags=flags)


def _refuse_loop(node: Node, parent: DirectoryNode) -> None:
    if _is_above(node, parent):
        raise failure(errno.EINVAL, node.name)


def _is_above(node: Node, directory: DirectoryNode) -> bool:
    """Whether ``node`` is ``directory`` or one of the directories above it."""
    ancestor: DirectoryNode | None = directory
    while ancestor is not None:
        if ancestor is node:
            return True
        ancestor = ancestor.parent
    return False
