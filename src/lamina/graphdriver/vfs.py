"""The vfs driver: every layer is a whole directory, a copy of its parent's. Slow, and right on any file system.

It mounts nothing and needs no rights beyond those to the files. Docker's layout::

    vfs/            0710
    vfs/dir/        0710
    vfs/dir/<id>/   the whole tree, with its parent's root directory's owner and mode

Docker's vfs forgets a layer's parent. Ours is kept in ``vfs/parent/<id>``, which a dockerd overlooks.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from lamina import atomicfile
from lamina.graphdriver import directories
from lamina.graphdriver.contract import DiffForm, Problem
from lamina.graphdriver.directories import ensure_directory, make_directory, missing
from lamina.graphdriver.failure import LayerDamaged, LayerExists, check_id, translated
from lamina.graphdriver.removal import remove_tree
from lamina.graphdriver.treecopy import copy_tree
from lamina.owners import SAME, Owners


class VfsDriver:
    """See :class:`lamina.graphdriver.contract.GraphDriver`.

    :meth:`mount` returns the layer's directory itself: it is never read-only, and :meth:`is_mounted` is never true.
    """

    name = "vfs"
    form = DiffForm.SNAPSHOT

    def __init__(self, root: str, owners: Owners = SAME) -> None:
        """``root`` is the data root. Nothing is written until the first layer is made."""
        self.owners = owners
        self.home = os.path.join(os.path.abspath(root), "vfs")

    def create(self, id: str, parent: str | None) -> None:
        directory = self.diff_path(id)
        if parent is not None and not self.exists(parent):
            raise missing(parent, self.home)
        with translated(f"layer {id} could not be created"):
            self._make_home()
            try:
                make_directory(directory, 0o755)
            except FileExistsError:
                raise LayerExists(f"layer {id} exists already in {self.home}") from None
            try:
                if self.owners.are_mapped:
                    os.chown(directory, *self.owners.root)
                if parent is not None:
                    atomicfile.write(self._parent_path(id), parent.encode(), sync=False)
                    copy_tree(self.diff_path(parent), directory)
            except BaseException:
                self.remove(id)
                raise

    def create_read_write(self, id: str, parent: str | None) -> None:
        self.create(id, parent)

    def remove(self, id: str) -> None:
        with translated(f"layer {id} could not be removed"):
            remove_tree(self.diff_path(id))
            remove_tree(self._parent_path(id))

    def exists(self, id: str) -> bool:
        return os.path.isdir(self.diff_path(id))

    def ids(self) -> Iterator[str]:
        try:
            entries = os.scandir(f"{self.home}/dir")
        except FileNotFoundError:
            return
        with entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    yield entry.name

    def written(self, id: str) -> list[str] | None:
        return None  # a whole tree

    def parent_ids(self, id: str) -> list[str]:
        """As far as lamina made them: layers that a dockerd made have no known parents."""
        if not self.exists(id):
            raise missing(id, self.home)
        parents: list[str] = []
        while (parent := self._parent(parents[-1] if parents else id)) is not None:
            if parent == id or parent in parents:
                raise LayerDamaged(f"{self._parent_path(id)} is damaged: the layer is below itself")
            parents.append(parent)
        return parents

    def diff_path(self, id: str) -> str:
        check_id(id)
        return f"{self.home}/dir/{id}"

    def mount(self, id: str, *, read_only: bool = False, volatile: bool = False) -> str:
        if not self.exists(id):
            raise missing(id, self.home)
        return self.diff_path(id)

    def unmount(self, id: str) -> None:
        check_id(id)

    def is_mounted(self, id: str) -> bool:
        check_id(id)
        return False

    def metadata(self, id: str) -> dict[str, str]:
        if not self.exists(id):
            raise missing(id, self.home)
        return {}

    def status(self) -> list[tuple[str, str]]:
        return []

    def sync(self) -> None:
        directories.synchronize(self.home)

    def problems(self, referenced: frozenset[str]) -> Iterator[Problem]:
        present = frozenset(self.ids())
        for layer in sorted(referenced - present):
            yield Problem("missing", self.diff_path(layer), "layer directory is missing", False)
        for layer in sorted(present - referenced):
            path = f"{self.home}/dir/{layer}"
            yield Problem("orphan", path, "no image or container refers to this layer", True)
        for name in self._parent_files():
            path = f"{self.home}/parent/{name}"
            if name not in present:
                yield Problem("orphan", path, "parent of a layer that does not exist", True)
            elif os.path.getsize(path) == 0:
                yield Problem("damaged", path, "file is empty", False)

    def repair(self, problem: Problem) -> None:
        directory, name = os.path.split(problem.path)
        if directory not in (f"{self.home}/dir", f"{self.home}/parent") or not name:
            raise LayerDamaged(f"{problem.path} is no part of {self.home}")
        with translated(f"{problem.path} could not be repaired"):
            remove_tree(problem.path)
            if directory == f"{self.home}/dir":
                remove_tree(f"{self.home}/parent/{name}")

    def restore_parent(self, id: str, parent: str | None) -> None:
        """Write down again what ``id`` was made on, for a caller who knows it from elsewhere."""
        with translated(f"layer {id} could not be repaired"):
            if parent is not None:
                self._make_home()
                atomicfile.write(self._parent_path(id), parent.encode(), sync=False)

    def _make_home(self) -> None:
        for path, mode in ((self.home, 0o710), (f"{self.home}/dir", 0o710), (f"{self.home}/parent", 0o700)):
            ensure_directory(path, mode)
            if self.owners.are_mapped:  # the runtime goes through it as the containers' root
                os.chown(path, -1, self.owners.root[1])

    def _parent_path(self, id: str) -> str:
        check_id(id)
        return f"{self.home}/parent/{id}"

    def _parent_files(self) -> list[str]:
        try:
            return sorted(os.listdir(f"{self.home}/parent"))
        except FileNotFoundError:
            return []

    def _parent(self, id: str) -> str | None:
        try:
            with open(self._parent_path(id), "rb") as file:
                parent = file.read(256).decode("latin-1")
        except FileNotFoundError:
            return None
        if not parent:
            raise LayerDamaged(f"{self._parent_path(id)} is empty")
        check_id(parent)
        return parent
