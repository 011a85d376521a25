"""The aufs driver: roots of Docker's first storage driver, which no kernel and no engine opens any more.

Docker's layout, from moby's ``daemon/graphdriver/aufs``::

    aufs/              0700
    aufs/diff/<id>/    0755   what the layer changes, deletions as .wh. files
    aufs/layers/<id>   0644   ids of the layers below, parent first, one a line; empty in a bottom layer
    aufs/mnt/<id>/     0755   where the layer is shown
    aufs/work/<id>/    0700   ours: unfinished files of a layer that was changed

The kernel's AUFS kept records of its own in ``diff`` (``.wh..wh.aufs``, ``.wh..wh.orph``, ``.wh..wh.plnk``). They are
no content. Stacks are shown by our own union file system in AUFS's dialect.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from lamina import atomicfile
from lamina.contextlib import AbstractContextManager, suppress
from lamina.graphdriver import directories
from lamina.graphdriver.contract import DiffForm, Problem
from lamina.graphdriver.directories import ensure_directory, make_directory, missing
from lamina.graphdriver.failure import (
    LayerDamaged,
    LayerExists,
    LayerMissing,
    TooManyLayers,
    check_id,
    translated,
)
from lamina.graphdriver.removal import remove_tree
from lamina.linux import mount
from lamina.owners import SAME
from lamina.unionfs.options import MAX_LOWERS, Dialect, MountOptions

_PARTS = ("diff", "layers", "mnt", "work")


class AufsDriver:
    """See :class:`lamina.graphdriver.contract.GraphDriver`."""

    name = "aufs"
    form = DiffForm.AUFS
    owners = SAME

    def __init__(self, root: str) -> None:
        """``root`` is the data root. Nothing is written until the first layer is made."""
        self.home = os.path.join(os.path.abspath(root), "aufs")

    # Layers

    def create(self, id: str, parent: str | None) -> None:
        directory = self.diff_path(id)
        below = [] if parent is None else [parent, *self.parent_ids(parent)]
        if len(below) > MAX_LOWERS:
            raise TooManyLayers(f"max depth exceeded: {MAX_LOWERS} layers below one")
        with translated(f"layer {id} could not be created"):
            self._make_home()
            try:
                make_directory(directory, 0o755)
            except FileExistsError:
                raise LayerExists(f"layer {id} exists already in {self.home}") from None
            try:
                self._write_below(id, below)
            except BaseException:
                self.remove(id)
                raise

    def create_read_write(self, id: str, parent: str | None) -> None:
        self.create(id, parent)

    def remove(self, id: str) -> None:
        with translated(f"layer {id} could not be removed"):
            with suppress(LayerMissing), self._locked(id):
                directories.detach(self._path("mnt", id))
            # The list first: without it nothing takes what is left for a layer.
            for part in ("layers", "mnt", "work", "diff"):
                remove_tree(self._path(part, id))

    def exists(self, id: str) -> bool:
        return os.path.isdir(self.diff_path(id))

    def ids(self) -> Iterator[str]:
        return iter(sorted(self._names("diff") | self._names("layers")))

    def written(self, id: str) -> list[str] | None:
        return [self._path("layers", id)]

    def parent_ids(self, id: str) -> list[str]:
        path = self._path("layers", id)
        try:
            with open(path, encoding="ascii", errors="replace") as file:
                below = [line for line in file.read(1 << 20).split("\n") if line]
        except FileNotFoundError:
            if not self.exists(id):
                raise missing(id, self.home) from None
            raise LayerDamaged(f"{path} is missing") from None
        self._check_below(id, path, below)
        return below

    def _check_below(self, id: str, path: str, below: list[str]) -> None:
        if not self.exists(id):
            raise missing(id, self.home)
        if id in below or len(set(below)) != len(below):
            raise LayerDamaged(f"{path} is damaged: a layer is below itself")
        for layer in below:
            if not all(c.isalnum() or c in "-_." for c in layer) or layer[0] == ".":
                raise LayerDamaged(f"{path} is damaged: {layer!r} is no id")
            if not self.exists(layer):
                raise LayerDamaged(f"layer {id}: layer {layer} below it is missing")

    def diff_path(self, id: str) -> str:
        return self._path("diff", id)

    # Mounts

    def mount(self, id: str, *, read_only: bool = False, volatile: bool = False) -> str:
        with self._locked(id), translated(f"layer {id} could not be mounted"):
            point = self._path("mnt", id)
            if mount.is_mount_point(point):
                if read_only or not os.statvfs(point).f_flag & os.ST_RDONLY:
                    return point
                directories.detach(point)
            below = tuple(self.diff_path(layer) for layer in self.parent_ids(id))
            ensure_directory(point, 0o755)
            if read_only:
                options = MountOptions((self.diff_path(id), *below), read_only=True)
            else:
                self._make_home()
                work = self._path("work", id)
                ensure_directory(work, 0o700)
                options = MountOptions(below, self.diff_path(id), work, volatile=volatile)
            try:
                _serve(options, point)
            except BaseException:
                with suppress(OSError):  # what is raised already says more
                    os.rmdir(point)
                raise
            return point

    def unmount(self, id: str) -> None:
        with suppress(LayerMissing), self._locked(id), translated(f"layer {id} could not be unmounted"):
            directories.detach(self._path("mnt", id))

    def is_mounted(self, id: str) -> bool:
        return mount.is_mount_point(self._path("mnt", id))

    # What it looks like

    def metadata(self, id: str) -> dict[str, str]:
        if not self.exists(id):
            raise missing(id, self.home)
        return {}

    def status(self) -> list[tuple[str, str]]:
        return [
            ("Root Dir", self.home),
            ("Backing Filesystem", directories.backing_file_system(self.home)),
            ("Dirs", str(len(self._names("layers")))),
        ]

    def sync(self) -> None:
        directories.synchronize(self.home)

    # Faults

    def problems(self, referenced: frozenset[str]) -> Iterator[Problem]:
        contents, lists = self._names("diff"), self._names("layers")
        for layer in sorted(referenced - contents):
            yield Problem("missing", self.diff_path(layer), "layer directory is missing", False)
        for layer in sorted((contents | lists) - referenced):
            part = "diff" if layer in contents else "layers"
            yield Problem("orphan", self._path(part, layer), "no image or container refers to this layer", True)
        for layer in sorted(referenced & contents):
            try:
                self.parent_ids(layer)
            except (LayerDamaged, LayerMissing) as error:
                path = self._path("layers", layer)
                yield Problem("damaged", path, str(error), self._derived(layer) is not None)
        for layer in sorted(self._names("work") - contents - lists):
            yield Problem("orphan", self._path("work", layer), "work directory of a layer that does not exist", True)
        yield from self._stray_mount_points(contents)

    def _stray_mount_points(self, layers: set[str]) -> Iterator[Problem]:
        for name in sorted(self._names("mnt")):
            path = self._path("mnt", name)
            if mount.is_mount_point(path):
                continue
            if os.listdir(path):
                yield Problem("orphan", path, "files in a mount point without a mount", False)
            elif name not in layers:
                yield Problem("orphan", path, "mount point of a layer that does not exist", True)

    def repair(self, problem: Problem) -> None:
        parent, name = os.path.split(problem.path)
        home, part = os.path.split(parent)
        if home != self.home or part not in _PARTS or not name:
            raise LayerDamaged(f"{problem.path} is no part of {self.home}")
        with translated(f"{problem.path} could not be repaired"):
            if problem.kind == "damaged":
                below = self._derived(name)
                if below is not None:
                    self._write_below(name, below)
            elif part == "mnt":
                with suppress(FileNotFoundError):
                    os.rmdir(problem.path)
            else:
                self.remove(name)

    def restore_parent(self, id: str, parent: str | None) -> None:
        """Write ``id``'s list again, for a caller who knows from elsewhere what it was made on."""
        with translated(f"layer {id} could not be repaired"):
            self._write_below(id, [] if parent is None else [parent, *self.parent_ids(parent)])

    def _derived(self, id: str) -> list[str] | None:
        """What is below a layer according to the layers above it; ``None`` when there are none."""
        for other in self._names("layers") - {id}:
            with suppress(LayerDamaged, LayerMissing):
                below = self.parent_ids(other)
                if id in below:
                    return below[below.index(id) + 1 :]
        return None

    # Inside

    def _path(self, part: str, id: str) -> str:
        check_id(id)
        return f"{self.home}/{part}/{id}"

    def _names(self, part: str) -> set[str]:
        try:
            names = os.listdir(f"{self.home}/{part}")
        except FileNotFoundError:
            return set()
        return {name for name in names if not name.startswith(".")}

    def _make_home(self) -> None:
        for path in (self.home, *(f"{self.home}/{part}" for part in _PARTS)):
            ensure_directory(path, 0o700)

    def _write_below(self, id: str, below: list[str]) -> None:
        text = "".join(f"{layer}\n" for layer in below)
        atomicfile.write(self._path("layers", id), text.encode(), mode=0o644, sync=False)

    def _locked(self, id: str) -> AbstractContextManager[str]:
        """The layer's directory, locked. Raises ``LayerMissing``."""
        return directories.locked(id, self.home, self.diff_path(id))


def _serve(options: MountOptions, point: str) -> None:
    from lamina.unionfs import fuse

    fuse.mount_in_background(options._replace(dialect=Dialect.AUFS, source="none"), point)
