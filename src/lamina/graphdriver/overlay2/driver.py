"""The driver itself: layers made, mounted, removed."""

from __future__ import annotations

import os
from collections.abc import Iterator

from lamina.contextlib import AbstractContextManager, suppress
from lamina.graphdriver import directories
from lamina.graphdriver.contract import DiffForm, Problem, Skeleton
from lamina.graphdriver.depth import MAXIMUM_LOWERS
from lamina.graphdriver.directories import detach, make_directory
from lamina.graphdriver.failure import LayerDamaged, LayerMissing, TooManyLayers, translated
from lamina.graphdriver.overlay2 import prefill
from lamina.graphdriver.overlay2.layout import Layout
from lamina.graphdriver.removal import remove_tree
from lamina.linux import userns
from lamina.owners import SAME, Owners

#: The mark of a volatile mount, which the kernel refuses to mount over: the last one may not have been synced.
VOLATILE_MARK = "work/incompat/volatile"


class Overlay2Driver:
    """See :class:`lamina.graphdriver.contract.GraphDriver`. Needs ``CAP_SYS_ADMIN`` to mount and nothing else.

    A layer that is a parent is always shown read-only, as Docker does: it belongs to others too.
    """

    name = "overlay2"
    form = DiffForm.OVERLAY

    def __init__(self, root: str, owners: Owners = SAME) -> None:
        """``root`` is the data root. Nothing is written until the first layer is made."""
        self.home = os.path.join(os.path.abspath(root), self.name)
        self.owners = owners
        self._layout = Layout(self.home, owners)

    # Layers

    def create(self, id: str, parent: str | None) -> None:
        if parent is not None and len(self._layout.lowers(parent)) + 1 > self._maximum_lowers():
            raise TooManyLayers(f"max depth exceeded: {self._maximum_lowers()} layers below one")
        fresh = not self.exists(id)
        with translated(f"layer {id} could not be created"):
            try:
                self._layout.create(id, parent)
            except OSError:
                if fresh:
                    self.remove(id)
                raise

    def create_read_write(self, id: str, parent: str | None) -> None:
        self.create(id, parent)

    def remove(self, id: str) -> None:
        try:
            with self._locked(id) as directory, translated(f"layer {id} could not be removed"):
                detach(f"{directory}/merged")
                self._remove_links(id)
                remove_tree(directory)
        except LayerMissing:
            self._remove_links(id)

    def prefill(self, id: str, skeleton: Skeleton) -> bool:
        """See :class:`lamina.graphdriver.contract.Prefilling`."""
        lowers = [f"{self.home}/l/{name}" for name in self._layout.lowers(id)]
        with translated(f"layer {id} could not be filled"):
            return prefill.prefill(self.diff_path(id), lowers, skeleton)

    def exists(self, id: str) -> bool:
        return os.path.isdir(self._layout.directory(id))

    def ids(self) -> Iterator[str]:
        return self._layout.ids()

    def parent_ids(self, id: str) -> list[str]:
        return self._layout.lower_ids(id)

    def written(self, id: str) -> list[str] | None:
        return self._layout.files(id)

    def diff_path(self, id: str) -> str:
        return f"{self._layout.directory(id)}/diff"

    # Mounts

    def mount(self, id: str, *, read_only: bool = False, volatile: bool = False) -> str:
        return self._mount(id, [], read_only=read_only, volatile=volatile)

    def mount_above(self, id: str, between: str, *, volatile: bool = False) -> str:
        """See :class:`lamina.graphdriver.contract.Interposing`."""
        return self._mount(id, [self._layout.link(between)], read_only=False, volatile=volatile)

    def _mount(self, id: str, between: list[str], *, read_only: bool, volatile: bool) -> str:
        from lamina.linux import mount  # layers are made, looked at and taken down without

        with self._locked(id) as directory, translated(f"layer {id} could not be mounted"):
            merged = f"{directory}/merged"
            read_only = read_only or self._layout.is_committed(id)
            if mount.is_mount_point(merged):
                if read_only or not os.statvfs(merged).f_flag & os.ST_RDONLY:
                    return merged
                detach(merged)
            lowers = [*between, *self._layout.lowers(id)]
            with suppress(FileExistsError):  # left by a crash
                make_directory(merged, 0o700)
                self._layout.give_to_root(merged)
            try:
                self._attach(id, lowers, merged, read_only=read_only, volatile=volatile)
            except BaseException:
                with suppress(OSError):  # what is raised already says more
                    os.rmdir(merged)
                raise
            return merged

    def unmount(self, id: str) -> None:
        try:
            with self._locked(id) as directory, translated(f"layer {id} could not be unmounted"):
                detach(f"{directory}/merged")
                self._forget_volatile(f"{directory}/work")
        except LayerMissing:
            return

    def is_mounted(self, id: str) -> bool:
        from lamina.linux import mount

        return mount.is_mount_point(f"{self._layout.directory(id)}/merged")

    # What it looks like

    def metadata(self, id: str) -> dict[str, str]:
        directory = self._layout.directory(id)
        lowers = [f"{self.home}/{lower}/diff" for lower in self._layout.lower_ids(id)]
        data = {"LowerDir": ":".join(lowers)} if lowers else {}
        data |= {"MergedDir": f"{directory}/merged", "UpperDir": f"{directory}/diff", "WorkDir": f"{directory}/work"}
        return data

    def status(self) -> list[tuple[str, str]]:
        from lamina.linux import files

        place = self.home if os.path.isdir(self.home) else os.path.dirname(self.home)
        return [
            ("Backing Filesystem", files.file_system_name(place)),
            ("Supports d_type", str(files.supports_d_type(place)).lower()),
            ("Native Overlay Diff", "true"),  # by the options that every mount is given; see overlayfs.options
            ("userxattr", str(not userns.is_initial()).lower()),
        ]

    def sync(self) -> None:
        directories.synchronize(self.home)

    # Faults

    def problems(self, referenced: frozenset[str]) -> Iterator[Problem]:
        from lamina.graphdriver.overlay2 import inspection

        return inspection.problems(self._layout, referenced)

    def repair(self, problem: Problem) -> None:
        from lamina.graphdriver.overlay2 import inspection

        with translated(f"{problem.path} could not be repaired"):
            orphan = inspection.repair(self._layout, problem)
            if orphan is not None:
                self.remove(orphan)

    def restore_parent(self, id: str, parent: str | None) -> None:
        """Write ``id``'s ``lower`` file again, for a caller who knows from elsewhere what it was made on."""
        with translated(f"layer {id} could not be repaired"):
            if parent is not None:
                self._layout.write_lower(id, [self._layout.link(parent), *self._layout.lowers(parent)])

    # Inside

    @staticmethod
    def _maximum_lowers() -> int:
        """How many layers can be below one."""
        return MAXIMUM_LOWERS

    def _locked(self, id: str) -> AbstractContextManager[str]:
        """The layer's directory, locked. Raises ``LayerMissing``."""
        return directories.locked(id, self.home, self._layout.directory(id))

    def _attach(self, id: str, lowers: list[str], merged: str, *, read_only: bool, volatile: bool) -> None:
        from lamina.graphdriver import overlayfs
        from lamina.graphdriver.overlayfs import Overlay
        from lamina.linux import mount

        directory = self._layout.directory(id)
        below = [f"l/{name}" for name in lowers]
        if not below:
            # One directory is no overlay: overlayfs wants an upper or a second lower.
            mount.bind(f"{directory}/diff", merged, read_only=read_only)
            return
        if read_only:
            overlay = Overlay(self.home, [f"{id}/diff", *below])
        else:
            self._prepare_work(f"{directory}/work")
            self._layout.give_to_root(f"{directory}/work")
            overlay = Overlay(self.home, below, f"{id}/diff", f"{id}/work", volatile)
        try:
            overlayfs.attach(overlay, merged)
        except FileNotFoundError as error:
            self._layout.lower_ids(id)  # says which link is broken
            raise LayerDamaged(f"layer {id}: {error}") from error

    @staticmethod
    def _prepare_work(work: str) -> None:
        try:
            make_directory(work, 0o700)
        except FileExistsError:
            mark = f"{work}/{VOLATILE_MARK}"
            if os.path.isdir(mark):
                remove_tree(mark)

    @staticmethod
    def _forget_volatile(work: str) -> None:
        """Take the mark away that tells a mount that ended in order from one that a crash ended."""
        mark = f"{work}/{VOLATILE_MARK}"
        marks = os.path.dirname(mark)
        try:
            os.unlink(f"{mark}/dirty")
            os.rmdir(mark)
            os.rmdir(marks)
        except OSError:  # nothing is there, or something else
            if os.path.isdir(marks):
                remove_tree(marks)

    def _remove_links(self, id: str) -> None:
        """Remove the layer's name in ``l/``; where its file ``link`` does not say that, every one that leads to it."""
        try:
            names = [self._layout.link(id)]
        except (LayerDamaged, LayerMissing):
            names = []
        if not names or self._layout.link_target(names[0]) != id:
            names = [name for name, target in self._layout.links() if target == id]
        for name in names:
            with suppress(FileNotFoundError):
                os.unlink(self._layout.link_path(name))
