"""The merged tree, read-only part: what a name means, what a directory contains, where things are.

Names are looked up from the top down. A file hides everything below it; directories merge until one is opaque; a
whiteout ends the search. Nothing but this process may change the layers meanwhile.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator

from lamina.errors import Unsupported
from lamina.linux.process import effective_capabilities
from lamina.typing import Protocol
from lamina.unionfs.dialects import marks_for
from lamina.unionfs.layer import PATH_LIMIT, ROOT, Layer, LowerDirectory
from lamina.unionfs.marks import Contents, Entry, Mark, Marks, attribute
from lamina.unionfs.merging import Data, LowerSearch
from lamina.unionfs.node import DirectoryNode, Node
from lamina.unionfs.options import MountOptions

#: Each file system of a stack gets a range of this many inode numbers.
_NUMBER_RANGE = 1 << 56
#: ``NAME_MAX``.
_NAME_LIMIT = 255
#: ``S_IFMT``.
_KIND = 0o170000
_stat, _fstat = os.stat, os.fstat


class Index(Protocol):
    """What the tree asks the index of hard links, if there is one (:class:`lamina.unionfs.linked.LinkIndex`)."""

    def lookup(self, parent: DirectoryNode, name: bytes, directory: LowerDirectory, status: os.stat_result) -> Node:
        """The node of a lower file with several names."""

    def forget(self, node: Node) -> None:
        """The tree lets go of a node."""

    def before_removal(self, node: Node) -> None:
        """A name of ``node`` is about to go."""

    def dropped(self, node: Node) -> None:
        """A name of ``node`` is gone."""

    def stage(self, staged: bytes, work: Layer, location: LowerDirectory, links: int) -> bytes:
        """Name a copy in the work directory in the index."""

    def copied(self, node: Node, entry: bytes) -> None:
        """``node`` was copied up."""

    def shown_links(self, node: Node, links: int) -> int:
        """How many names a file has in the union."""


class Tree:
    """An open union. :attr:`root` is the merged root; close it with :meth:`close`."""

    def __init__(self, options: MountOptions) -> None:
        """Raises :class:`OSError` for a layer that can't be opened and what :meth:`MountOptions.check` raises."""
        options.check()
        self.options = options
        self.upper: Layer | None = None
        self.lowers: tuple[Layer, ...] = ()
        self._layers: list[Layer] = []
        self._anchors: set[int] = set()
        try:
            if options.upperdir is not None:
                self.upper = self._open(options.upperdir, 0, work=options.workdir)
            self.lowers = tuple(self._open(path, index) for index, path in enumerate(options.lowerdirs, 1))
        except BaseException:
            self.close()
            raise
        #: The upper layer's; -1 without one.
        self.upper_descriptor = -1 if self.upper is None else self.upper.descriptor
        user_attributes = _user_attributes(options)
        self.marks: Marks = marks_for(options.dialect, userxattr=user_attributes)
        self._find = self.marks.find
        #: As the option, decided.
        self.redirect_dir = options.redirect_dir or ("follow" if user_attributes else "on")
        self._refuse_conflicts(user_attributes)
        #: Files whose data is not beside their metadata.
        self.metacopies: dict[Node, Data] = {}
        #: Their open files, which are not of their own version.
        self.borrowers: dict[Node, list[int]] = {}
        #: What keeps hard links together; set by who may change the union.
        self.index: Index | None = None
        self._metacopy = getattr(self.marks, "metacopy", "")
        prefix = getattr(self.marks, "prefix", "")
        #: Where a copied-up file remembers its number; empty when the dialect has no place for it.
        self.number_attribute = f"{prefix}lamina.number" if prefix else ""
        self._merging = LowerSearch(self.marks, self.lowers, follow=self.redirect_dir != "nofollow")
        #: Upper files with several names, by their inode number in the upper layer.
        self.linked: dict[int, Node] = {}
        #: What the latest lookup met when it had to look; saves who wants both a node and its status a system call.
        self.found: os.stat_result | None = None
        self.root = self._make_root()

    def _refuse_conflicts(self, user_attributes: bool) -> None:
        if user_attributes and (self.options.metacopy or self.options.inode_index):
            self.close()
            word = "metacopy=on" if self.options.metacopy else "index=on"
            raise Unsupported(f"{word}: needs trusted.overlay attributes, which are root's")

    def _open(self, path: str, index: int, *, work: str | None = None) -> Layer:
        layer = Layer(path, index, work=work)
        self._layers.append(layer)
        devices = list(dict.fromkeys(known.device for known in self._layers))
        layer.number_base = devices.index(layer.device) * _NUMBER_RANGE
        return layer

    def _make_root(self) -> DirectoryNode:
        first = self.lowers[0] if self.lowers else self.upper
        assert first is not None
        root = DirectoryNode(None, b"", os.stat(first.descriptor).st_ino + first.number_base)
        root.upper = self.upper is not None
        root.lowers = self._merging.root(self.upper)
        return root

    def close(self) -> None:
        """Idempotent."""
        for layer in self._layers:
            layer.close()
        while self._anchors:
            os.close(self._anchors.pop())

    def lookup(self, parent: DirectoryNode, name: bytes) -> Node | None:
        """The node of ``name`` in ``parent``; ``None`` when the union has no such name. May raise ``ENAMETOOLONG``."""
        known = parent.children.get(name)
        if known is not None:
            return known
        if len(name) > _NAME_LIMIT:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), name)
        if parent.complete or self.marks.reserved(name) or (parent.parent is None and parent is not self.root):
            return None
        if parent.upper:
            assert self.upper is not None
            found = self._find(self.upper, parent.path, name)
            if isinstance(found, Mark):
                return None
            if found is not None:
                if found.st_mode & _KIND == stat.S_IFDIR:
                    return self._adopt_directory(parent, name, found)
                return self.adopt_upper_file(parent, name, found)
        return self._lookup_lower(parent, name)

    def _lookup_lower(self, parent: DirectoryNode, name: bytes) -> Node | None:
        for directory in parent.lowers:
            layer, path = directory
            found = self._find(layer, path, name)
            if found is None:
                continue
            if found is Mark.HIDDEN:
                return None
            kind = found.st_mode & _KIND
            if kind == stat.S_IFDIR:
                return self._adopt_directory(parent, name, None)
            if self.index is not None and found.st_nlink > 1:
                return self.index.lookup(parent, name, directory, found)
            node = Node(parent, name, kind, found.st_ino + layer.number_base)
            node.lower = directory
            parent.children[name] = node
            if self.options.metacopy or (not found.st_blocks and found.st_size):
                self._find_data(node, directory.layer, directory.path + b"/" + name)
            self.found = found
            return node
        return None

    def adopt_upper_file(self, parent: DirectoryNode, name: bytes, status: os.stat_result) -> Node:
        self.found = status
        if status.st_nlink > 1:
            known = self.linked.get(status.st_ino)
            if known is not None and (known.parent is not None or known.descriptors):
                self.add_name(known, parent, name)
                return known
        assert self.upper is not None
        path = parent.path + b"/" + name
        try:
            names = os.listxattr(self.upper.absolute(path), follow_symlinks=False)
        except OSError:
            names = []
        number = status.st_ino + self.upper.number_base
        if self.number_attribute in names:
            number = self._kept_number(path, number)
        node = Node(parent, name, stat.S_IFMT(status.st_mode), number)
        node.upper = True
        node.bare = not names
        parent.children[name] = node
        if names and self._metacopy in names:
            self._find_data(node, self.upper, path)
        if status.st_nlink > 1:
            self.linked[status.st_ino] = node
        return node

    def _find_data(self, node: Node, layer: Layer, path: bytes) -> None:
        """Remember where a file's data is that is not where ``layer`` has it. ``EPERM`` where that is not allowed."""
        redirect = self.marks.borrowed(layer, path) if node.kind == stat.S_IFREG else None
        if redirect is None:
            return
        assert node.parent is not None
        try:
            if not self.options.metacopy:
                raise OSError(errno.EPERM, "the file's data is in another layer (metacopy)", path)
            self.metacopies[node] = self._merging.data(node.parent, node.name, redirect, layer.index)
        except BaseException:
            self.forget(node)
            raise

    def return_borrowed(self, node: Node, file: int) -> None:
        """An open file of a node whose data is elsewhere is closed."""
        open_files = self.borrowers[node]
        open_files.remove(file)
        if not open_files:
            del self.borrowers[node]

    def data_place(self, node: Node) -> tuple[int, bytes]:
        """As :meth:`place`, but of the version that has the data."""
        data = self.metacopies.get(node)
        return self.place(node) if data is None else (data.layer.descriptor, data.path)

    def _kept_number(self, path: bytes, number: int) -> int:
        if not self.number_attribute:
            return number
        assert self.upper is not None
        kept = attribute(self.upper, path, self.number_attribute)
        return int(kept) if kept is not None and kept.isdigit() and len(kept) < 20 else number

    def _adopt_directory(self, parent: DirectoryNode, name: bytes, upper: os.stat_result | None) -> DirectoryNode:
        layer = self.upper if upper is not None else None
        found = self._merging.find(parent, name, layer)
        if found.lowers:
            assert found.status is not None
            number = found.status.st_ino + found.lowers[0].layer.number_base
        else:
            assert upper is not None
            assert self.upper is not None
            number = upper.st_ino + self.upper.number_base
        self.found = upper or found.status
        node = DirectoryNode(parent, name, number)
        node.upper = upper is not None
        node.lowers = found.lowers
        node.lower_path = found.lower_path
        parent.children[name] = node
        self.anchor(node)
        return node

    def anchor(self, node: DirectoryNode) -> None:
        """Replace paths of ``node`` that are too long to be extended; to be called when one got longer."""
        if node.upper and len(node.path) > PATH_LIMIT:
            assert self.upper is not None
            node.path = self._anchor(node, self.upper, node.path)
            for child in node.children.values():
                if isinstance(child, DirectoryNode):
                    child.renew_paths()
        if any(len(path) > PATH_LIMIT for _, path in node.lowers):
            node.lowers = tuple(
                LowerDirectory(layer, self._anchor(node, layer, path) if len(path) > PATH_LIMIT else path)
                for layer, path in node.lowers
            )

    def _anchor(self, node: DirectoryNode, layer: Layer, path: bytes) -> bytes:
        flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(path, flags, dir_fd=layer.descriptor)
        node.anchors = [*(node.anchors or ()), descriptor]
        self._anchors.add(descriptor)
        return b"/proc/self/fd/%d/." % descriptor

    def add_name(self, node: Node, parent: DirectoryNode, name: bytes) -> None:
        """``node`` has one more name."""
        parent.children[name] = node
        if node.parent is None:
            node.parent, node.name = parent, name
            node.last = None
        else:
            node.aliases = [*(node.aliases or ()), (parent, name)]

    def drop_name(self, node: Node, parent: DirectoryNode, name: bytes) -> None:
        """``node`` lost one name; with its last one it becomes nameless."""
        if parent.children.get(name) is node:
            del parent.children[name]
        if node.aliases and (node.parent is not parent or node.name != name):
            node.aliases = [alias for alias in node.aliases if alias != (parent, name)] or None
        elif node.aliases:
            node.parent, node.name = node.aliases[0]
            node.aliases = node.aliases[1:] or None
        elif node.parent is parent and node.name == name:
            node.parent = None
        if self.index is not None:
            self.index.dropped(node)

    def forget(self, node: Node) -> None:
        """Let go of what is known about ``node``; it can be looked up again."""
        if node is self.root:
            return
        if self.metacopies:
            self.metacopies.pop(node, None)
        if self.index is not None:
            self.index.forget(node)
        if node.parent is not None:
            self._forget_name(node, node.parent, node.name)
        for parent, name in node.aliases or ():
            self._forget_name(node, parent, name)
        if self.linked and self.linked.get(node.number) is node:
            del self.linked[node.number]
        node.parent = None
        node.aliases = None
        if isinstance(node, DirectoryNode):
            while node.anchors:
                descriptor = node.anchors.pop()
                self._anchors.discard(descriptor)
                os.close(descriptor)

    @staticmethod
    def _forget_name(node: Node, parent: DirectoryNode, name: bytes) -> None:
        if parent.children.get(name) is node:
            del parent.children[name]
            parent.complete = False

    def place(self, node: Node) -> tuple[int, bytes]:
        """Directory descriptor and path of the version that counts; for a nameless one a path through ``/proc``.

        Raises ``ENOENT`` for a nameless file that nobody has open.
        """
        if node.upper:
            assert self.upper is not None
            if node is self.root:
                return self.upper.descriptor, ROOT
            if node.parent is not None:
                return self.upper.descriptor, node.parent.path + b"/" + node.name
        elif isinstance(node, DirectoryNode):
            if node.lowers:
                return node.lowers[0].layer.descriptor, node.lowers[0].path
        elif node.lower is not None:
            return node.lower.layer.descriptor, node.lower.path + b"/" + node.name
        if node.descriptors:
            return -1, b"/proc/self/fd/%d" % node.descriptors[0]
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))

    def proc_path(self, node: Node) -> bytes:
        """The same as one path that needs no descriptor argument. Its last component may be a link of the union."""
        descriptor, path = self.place(node)
        return path if path.startswith(b"/") else b"/proc/self/fd/%d/%s" % (descriptor, path)

    def status(self, node: Node) -> os.stat_result:
        """As the layer that counts says. A merged directory's link count and every inode number mean nothing."""
        if node.descriptors:
            return _fstat(node.descriptors[0])
        if node.upper:
            parent = node.parent
            if parent is not None:
                return _stat(parent.path + b"/" + node.name, dir_fd=self.upper_descriptor, follow_symlinks=False)
            if node.last is not None:
                return node.last
        descriptor, path = self.place(node)
        return os.stat(path, dir_fd=descriptor, follow_symlinks=False)

    def lower_has(self, parent: DirectoryNode, name: bytes) -> bool:
        """Whether ``name`` would show from below without the upper layer."""
        for directory in parent.lowers:
            found = self.marks.find(directory.layer, directory.path, name)
            if found is not None:
                return not isinstance(found, Mark)
        return False

    def contents(self, node: DirectoryNode) -> Iterator[tuple[Layer, Contents]]:
        """What each layer has in a directory, top first."""
        places = [LowerDirectory(self.upper, node.path)] if node.upper and self.upper is not None else []
        if node.parent is None and node is not self.root:
            return
        for layer, path in (*places, *node.lowers):
            yield layer, self.marks.contents(layer, path, self.marks.directory(layer, path))

    def listing(self, node: DirectoryNode) -> list[Entry]:
        """The merged names of a directory with kind and number, without ``.`` and ``..``."""
        if node.complete:
            return [Entry(name, child.kind, child.number) for name, child in node.children.items()]
        if not (node.lowers if node.upper else node.lowers[1:]):
            return self._listing_of_one(node)
        merged: dict[bytes, Entry] = {}
        hidden: set[bytes] = set()
        for layer, found in self.contents(node):
            for entry in found.entries:
                known = merged.get(entry.name)
                if entry.name in hidden:
                    continue
                if known is None:
                    merged[entry.name] = Entry(entry.name, entry.kind, self._listed_number(node, layer, entry))
            hidden |= found.hidden
            hidden |= merged.keys()
        return list(merged.values())

    def _listing_of_one(self, node: DirectoryNode) -> list[Entry]:
        """Of a directory that one layer alone has."""
        for layer, found in self.contents(node):
            if not layer.number_base:
                return found.entries
            return [Entry(name, kind, number + layer.number_base) for name, kind, number in found.entries]
        return []

    def _listed_number(self, directory: DirectoryNode, layer: Layer, entry: Entry) -> int:
        """As a lookup would say."""
        known = directory.children.get(entry.name)
        if known is not None:
            return known.number
        number = entry.number + layer.number_base
        if layer.index or not directory.lowers:
            return number
        path = directory.path + b"/" + entry.name
        if entry.kind != stat.S_IFDIR:
            return self._kept_number(path, number)
        lowers = self._merging.find(directory, entry.name, layer).lowers
        if not lowers:
            return number
        first = lowers[0]
        return os.stat(first.path, dir_fd=first.layer.descriptor).st_ino + first.layer.number_base


def _user_attributes(options: MountOptions) -> bool:
    if options.userxattr is not None:
        return options.userxattr
    return not _may_write_trusted_attributes()


def _may_write_trusted_attributes() -> bool:
    """``trusted.*`` needs ``CAP_SYS_ADMIN`` in the initial user namespace (xattr(7))."""
    with open("/proc/self/uid_map", encoding="ascii") as table:
        initial = table.read().split() == ["0", "0", "4294967295"]
    return initial and "CAP_SYS_ADMIN" in effective_capabilities()
