"""Containers' writable layers: made, mounted and removed, each all or nothing.

A writable layer belongs to ``containers/<id>/config.v2.json``. It is made before that file, and the journal's entry of
its making stays until the file is there: a crash in between leaves a layer that recovery takes for garbage.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from lamina.atomicfile import sync_together
from lamina.contextlib import contextmanager
from lamina.digest import ChainID
from lamina.errors import Conflict, InvalidArgument
from lamina.filelock import lock_directory
from lamina.graphdriver.contract import Skeleton, prefilling
from lamina.graphdriver.removal import remove_tree
from lamina.layer.contract import MountedLayer
from lamina.layer.database import INIT, DamagedLayer, LayerNotFound, MountNotFound, UnreadableLayer
from lamina.layer.failure import space_checked
from lamina.layer.journal import Entry
from lamina.layer.workshop import Workshop

#: Kind of a note in the journal: a container that is being made or removed.
CONTAINER_NOTE = "container"


class MountExists(Conflict):
    """The container has a writable layer already."""

    def __init__(self, container_id: str) -> None:
        super().__init__(f"mount {container_id} already exists")


class WritableLayers:
    """The writable layers of one store; see :class:`lamina.layer.contract.LayerStore`."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._unsettled: dict[str, Entry] = {}

    def create(
        self,
        container_id: str,
        parent: ChainID | None,
        initial: Skeleton | None = None,
        *,
        volatile: bool = False,
        unsynced: list[str] | None = None,
    ) -> MountedLayer:
        """A writable layer on ``parent``, with an ``-init`` layer between them that holds ``initial``.

        ``volatile`` gives up durability: after a power failure the layer may be damaged (``run --rm``).

        :raises MountExists: the container has one.
        :raises LayerNotFound: ``parent`` does not exist.
        :raises DiskFull: no space; nothing is left.
        """
        workshop = self._workshop
        try:
            exists = workshop.database.has_mount(container_id)
        except MountNotFound:
            raise InvalidArgument(f"invalid container id {container_id!r}") from None
        if exists:
            raise MountExists(container_id)
        self._settle_finished()
        with workshop.root.writing(), space_checked(workshop.root.path), kept(workshop, parent):
            entry = workshop.journal.begin()
            entry.note(CONTAINER_NOTE, container_id)
            mount_id = entry.new_id()
            mounted = MountedLayer(container_id, mount_id, f"{mount_id}{INIT}" if initial else "", parent)
            try:
                made = self._make(mounted, initial)
                if not volatile:
                    self._sync(mounted, made, unsynced)
            except BaseException:
                self._unmake(mounted)
                entry.close()
                raise
        self._unsettled[container_id] = entry
        return mounted

    def _make(self, mounted: MountedLayer, initial: Skeleton | None) -> list[str]:
        """Paths of the files that hold the metadata."""
        workshop, driver = self._workshop, self._workshop.driver
        below = workshop.database.cache_id(mounted.parent) if mounted.parent is not None else None
        if initial is not None:
            driver.create_read_write(mounted.init_id, below)
            self._fill(mounted.init_id, initial)
            below = mounted.init_id
        driver.create_read_write(mounted.mount_id, below)
        directory = f"{workshop.database.temporary}/{mounted.mount_id}"
        os.mkdir(directory, 0o755)
        names = workshop.database.write_mount(directory, mounted)
        place = workshop.database.mount_path(mounted.container_id)
        try:
            os.rename(directory, place)
        except OSError as error:
            if workshop.database.has_mount(mounted.container_id):
                raise MountExists(mounted.container_id) from error
            raise
        return [f"{place}/{name}" for name in names]

    def _sync(self, mounted: MountedLayer, made: list[str], unsynced: list[str] | None) -> None:
        """Put all of a new layer on disk, or add to ``unsynced`` what is left to be put there."""
        driver = self._workshop.driver
        for id in filter(None, (mounted.init_id, mounted.mount_id)):
            written = driver.written(id)
            if written is None:
                driver.sync()
            else:
                made += written
        if mounted.init_id:  # names without content: the directory's sync makes them durable
            made.append(driver.diff_path(mounted.init_id))
        if unsynced is None:
            sync_together(made)
        else:
            unsynced += made

    def _fill(self, id: str, initial: Skeleton) -> None:
        driver = self._workshop.driver
        able = prefilling(driver)
        if able is not None and able.prefill(id, initial):
            return
        from lamina.layer import skeleton  # for drivers and images that leave no quicker way

        skeleton.make(initial, driver.mount(id, volatile=True))  # the end of any other mount syncs the file system
        driver.unmount(id)

    def _unmake(self, mounted: MountedLayer) -> None:
        driver = self._workshop.driver
        driver.remove(mounted.mount_id)
        if mounted.init_id:
            driver.remove(mounted.init_id)
        remove_tree(f"{self._workshop.database.temporary}/{mounted.mount_id}")

    def get(self, container_id: str) -> MountedLayer:
        """Raises ``MountNotFound`` and ``DamagedLayer``."""
        return self._workshop.database.read_mount(container_id)

    def mount(self, container_id: str, *, volatile: bool = False) -> str:
        """Mount one; the merged path. Idempotent."""
        self._settle_finished()
        with space_checked(self._workshop.root.path):
            return self._workshop.driver.mount(self.get(container_id).mount_id, volatile=volatile)

    def unmount(self, container_id: str) -> None:
        """Unmount one. Idempotent."""
        self._workshop.driver.unmount(self.get(container_id).mount_id)

    @contextmanager
    def reading(self, container_id: str) -> Iterator[None]:
        """Keep the files of one, and of the layers below it, for as long as the context lasts.

        The container may be removed meanwhile; the space of its files is freed at the end then. Raises
        ``MountNotFound`` and ``DamagedLayer``.
        """
        workshop = self._workshop
        try:
            with kept(workshop, self.get(container_id).parent), self._used(container_id):
                yield
        finally:
            if not (workshop.root.read_only or workshop.trash.is_empty()):
                with workshop.root.writing():
                    workshop.trash.empty()

    @contextmanager
    def _used(self, container_id: str) -> Iterator[None]:
        try:
            use = lock_directory(self._workshop.database.mount_path(container_id), shared=True)
        except FileNotFoundError:
            raise MountNotFound(container_id) from None
        assert use is not None  # it waits
        try:
            yield
        finally:
            os.close(use)

    def discard(self, container_id: str) -> None:
        """Unmount one and put it into the trash. Idempotent: after it there is none, whatever state it was in."""
        workshop = self._workshop
        self._settle_finished()
        with workshop.root.writing():
            try:
                workshop.driver.unmount(workshop.database.read_mount(container_id).mount_id)
            except UnreadableLayer:
                pass  # it waits in the trash until the disk says which directories go with it
            except DamagedLayer:
                from lamina.layer import ownership  # after a power cut

                self.settle(container_id)  # else what it was made with would be a running operation's
                ownership.correct(workshop, container_id)
            except MountNotFound:
                self.settle(container_id)
                return
            workshop.trash.discard(workshop.database.mount_path(container_id))
            self.settle(container_id)

    @contextmanager
    def container_operation(self, container_id: str) -> Iterator[None]:
        """Make or remove a container inside this: a crash before the end leaves it whole or leaves nothing.

        Recovery goes by ``containers/<id>/config.v2.json``: when it is absent, the writable layer goes, and what else
        is in the container's directory. So write it last when making, and remove it first when removing.
        """
        with self._workshop.operation() as entry:
            entry.note(CONTAINER_NOTE, container_id)
            yield

    def settle(self, container_id: str) -> None:
        """The container that a layer was made for exists now."""
        entry = self._unsettled.pop(container_id, None)
        if entry is not None:
            entry.close()

    def _settle_finished(self) -> None:
        for container_id in list(self._unsettled):
            if self._workshop.root.has_container(container_id):
                self.settle(container_id)


@contextmanager
def kept(workshop: Workshop, chain: ChainID | None) -> Iterator[None]:
    """Keep a layer from being released inside the context. Raises ``LayerNotFound``."""
    if chain is None:
        yield
        return
    use = workshop.use(chain)
    if use is None:
        raise LayerNotFound(chain)
    try:
        yield
    finally:
        os.close(use)
