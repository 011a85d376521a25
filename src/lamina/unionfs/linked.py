"""``index=on``: a lower file with several names stays one file when one of them is changed, and is counted right.

As the kernel does it (Linux ``Documentation/filesystems/overlayfs.rst``, "Inode properties"; ``fs/overlayfs/copy_up.c``
and ``namei.c``): the copied-up file has a name in ``index`` of the work directory, which is its lower file's handle in
hexadecimal, and extended attributes with the same handle (``overlay.origin``) and with what to add to its number of
links (``overlay.nlink``). A name that was not copied up is linked to it when it is met.
"""

from __future__ import annotations

import errno
import os
import stat

from lamina.errors import Conflict, Unsupported
from lamina.linux.handles import file_handle, file_system_uuid
from lamina.unionfs.copyup import CopyUp
from lamina.unionfs.layer import ROOT, Layer, LowerDirectory
from lamina.unionfs.making import failure
from lamina.unionfs.marks import attribute
from lamina.unionfs.node import DirectoryNode, Node
from lamina.unionfs.tree import Tree
from lamina.unionfs.work import WorkDirectory

#: ``struct ovl_fb``: version, magic, and flags for a file of the upper layer and of a lower one.
_VERSION, _MAGIC = 0, 0xFB
_UPPER_FLAG = 1 << 2
#: Bytes of ``struct ovl_fb`` before the handle: four of its own, the handle's kind, a UUID.
_HEADER = 21


class LinkIndex:
    """The index of one union's upper directory."""

    def __init__(self, tree: Tree, work: WorkDirectory, copy_up: CopyUp) -> None:
        """Raises :class:`Unsupported` without file handles, :class:`Conflict` when the layers are not the same."""
        assert tree.upper is not None
        self._tree = tree
        self._copy_up = copy_up
        self._upper = tree.upper
        prefix = getattr(tree.marks, "prefix", "")
        self._origin, self._links, self._root = prefix + "origin", prefix + "nlink", prefix + "upper"
        #: Lower files with several names, by layer and inode number there.
        self._shared: dict[tuple[int, int], Node] = {}
        #: Index entries of files that are about to lose a name.
        self._leaving: dict[Node, bytes] = {}
        self._uuids = {layer.index: _uuid(layer) for layer in (tree.upper, *tree.lowers)}
        self.layer = work.sibling("index")
        try:
            self._verify()
        except BaseException:
            self.layer.close()
            raise

    def close(self) -> None:
        """Idempotent."""
        self.layer.close()

    def _verify(self) -> None:
        """That the upper directory and its index are used with the same layers as before."""
        lower = self._tree.lowers[0] if self._tree.lowers else self._upper
        marks = ((self._upper, self._origin, lower, 0), (self.layer, self._root, self._upper, _UPPER_FLAG))
        for place, name, target, flags in marks:
            expected = self._handle(target, ROOT, flags)
            found = attribute(place, ROOT, name)
            if found is None:
                os.setxattr(place.absolute(ROOT), name, expected)
            elif found != expected:
                raise Conflict(f"index=on: {self._upper.path!r} was used with other directories before")

    def _handle(self, layer: Layer, path: bytes, flags: int = 0) -> bytes:
        """What overlayfs calls a file of a layer (``struct ovl_fb``)."""
        handle = file_handle(path, directory=layer.descriptor)
        header = bytes((_VERSION, _MAGIC, _HEADER + len(handle.data), flags, handle.kind))
        return header + self._uuids[layer.index] + handle.data

    # Called by the tree

    def lookup(self, parent: DirectoryNode, name: bytes, directory: LowerDirectory, status: os.stat_result) -> Node:
        """The node of a lower file with several names, met as ``name`` in ``parent``."""
        layer = directory.layer
        key = (layer.index, status.st_ino)
        known = self._shared.get(key)
        if known is not None:
            self._tree.add_name(known, parent, name)
            self._tree.found = status
            return known
        entry = ROOT + b"/" + self._handle(layer, directory.path + b"/" + name).hex().encode()
        found = self.layer.status(entry)
        if found is not None and not stat.S_ISCHR(found.st_mode):
            self._link_up(entry, parent, name)
            found = os.stat(entry, dir_fd=self.layer.descriptor, follow_symlinks=False)
            return self._tree.adopt_upper_file(parent, name, found)
        node = Node(parent, name, stat.S_IFMT(status.st_mode), status.st_ino + layer.number_base)
        node.lower = directory
        parent.children[name] = node
        self._shared[key] = node
        self._tree.found = status
        return node

    def forget(self, node: Node) -> None:
        """The tree lets go of a node."""
        if node.lower is not None:
            layer = node.lower.layer
            key = (layer.index, node.number - layer.number_base)
            if self._shared.get(key) is node:
                del self._shared[key]
        self._leaving.pop(node, None)

    def before_removal(self, node: Node) -> None:
        """A name of ``node`` is about to be removed or replaced."""
        if node.is_directory:
            return
        if not node.upper and node.lower is not None and node in self._shared.values():
            self._copy_up.ensure(node)
        if node.upper and node.parent is not None:
            path = self._tree.place(node)[1]
            origin = attribute(self._upper, path, self._origin)
            if origin is not None and attribute(self._upper, path, self._links) is not None:
                self._leaving[node] = ROOT + b"/" + origin.hex().encode()

    def dropped(self, node: Node) -> None:
        """A name of ``node`` was removed. With the last one the index loses its entry."""
        entry = self._leaving.pop(node, None)
        status = None if entry is None else self.layer.status(entry)
        if entry is None or status is None:
            return
        relative, difference = self._difference(self.layer, entry)
        if relative == b"L":
            self._set_difference(self.layer, entry, difference - 1, relative)
        elif status.st_nlink + difference <= 0:
            os.unlink(entry, dir_fd=self.layer.descriptor)

    # Called by the copy-up

    def stage(self, staged: bytes, work: Layer, location: LowerDirectory, links: int) -> bytes:
        """Name a copy in the work directory in the index: its entry. It will have one more name, its target."""
        handle = self._handle(location.layer, location.path)
        entry = ROOT + b"/" + handle.hex().encode()
        os.setxattr(work.absolute(staged), self._origin, handle, follow_symlinks=False)
        self._set_difference(work, staged, links - 2)
        os.link(staged, entry, src_dir_fd=work.descriptor, dst_dir_fd=self.layer.descriptor, follow_symlinks=False)
        return entry

    def copied(self, node: Node, entry: bytes) -> None:
        """``node`` was copied up under its first name: its other names follow."""
        status = os.stat(entry, dir_fd=self.layer.descriptor, follow_symlinks=False)
        self._shared = {key: shared for key, shared in self._shared.items() if shared is not node}
        self._tree.linked[status.st_ino] = node
        for parent, name in list(node.aliases or ()):
            try:
                self._link_up(entry, parent, name)
            except OSError:  # it is met again, and linked or refused then
                self._tree.drop_name(node, parent, name)
                parent.complete = False

    def _link_up(self, entry: bytes, parent: DirectoryNode, name: bytes) -> None:
        """Give an indexed file the name that it has below, which changes nothing that can be seen."""
        self._copy_up.ensure(parent)
        times = os.stat(parent.path, dir_fd=self._upper.descriptor)
        os.link(
            entry,
            parent.path + b"/" + name,
            src_dir_fd=self.layer.descriptor,
            dst_dir_fd=self._upper.descriptor,
            follow_symlinks=False,
        )
        os.utime(parent.path, ns=(times.st_atime_ns, times.st_mtime_ns), dir_fd=self._upper.descriptor)
        relative, difference = self._difference(self.layer, entry)
        if relative == b"U":
            self._set_difference(self.layer, entry, difference - 1)

    # Numbers of links

    def shown_links(self, node: Node, links: int) -> int:
        """How many names a file has in the union whose upper version has ``links``."""
        if not node.upper or node.is_directory or links < 2:
            return links
        if node.parent is None:
            return 0
        relative, difference = self._difference(self._upper, self._tree.place(node)[1])
        return max(1, links + difference) if relative == b"U" else links

    def _difference(self, layer: Layer, path: bytes) -> tuple[bytes, int]:
        """Whether the count is relative to the upper file's (``U``) or the lower one's (``L``), and what to add."""
        value = attribute(layer, path, self._links)
        if value is None:
            return b"", 0
        try:
            return value[:1], int(value[1:])
        except ValueError:
            raise failure(errno.EIO, path) from None

    def _set_difference(self, layer: Layer, path: bytes, difference: int, relative: bytes = b"U") -> None:
        os.setxattr(layer.absolute(path), self._links, b"%s%+d" % (relative, difference), follow_symlinks=False)


def _uuid(layer: Layer) -> bytes:
    try:
        directory = os.open(ROOT, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=layer.descriptor)
        try:
            file_handle(ROOT, directory=directory)
            return file_system_uuid(directory)
        finally:
            os.close(directory)
    except OSError as error:
        if error.errno not in (errno.ENOTTY, errno.EOPNOTSUPP, errno.EPERM, errno.EINVAL, errno.ENOSYS):
            raise
        raise Unsupported(f"index=on: the file system of {layer.path!r} names no files by handles") from error
