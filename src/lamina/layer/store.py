"""The layer store on disk: Docker's ``layerdb`` beside a graph driver.

Most commands only read metadata, so what fills, packs and reclaims layers (10 ms to load) is imported where it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from lamina.contextlib import AbstractContextManager, contextmanager
from lamina.dataroot import DataRoot
from lamina.digest import ChainID
from lamina.errors import TELLS_MORE, Corrupt
from lamina.graphdriver.contract import DiffForm, GraphDriver, Skeleton
from lamina.layer.contract import Change, Layer, LayerStore, MountedLayer
from lamina.layer.database import DamagedLayer, LayerNotFound
from lamina.layer.journal import Entry
from lamina.layer.workshop import Workshop
from lamina.layer.writable import WritableLayers, kept
from lamina.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamina.layer.transaction import LayerTransaction


class CyclicLayers(Corrupt):
    """A layer is its own ancestor."""

    def __init__(self, chain_id: ChainID) -> None:
        super().__init__(f"layer {chain_id} is below itself{TELLS_MORE}")


class FileLayerStore:
    """See :class:`lamina.layer.contract.LayerStore`.

    :ivar workshop: what the parts of the store share; for recovery and ``fsck``.
    """

    def __init__(self, root: DataRoot, driver: GraphDriver) -> None:
        root.prepare(driver.name)
        self.root = root
        self.driver = driver
        self.workshop = Workshop(root, driver)
        self._database = self.workshop.database
        self._writable = WritableLayers(self.workshop)

    def get(self, chain_id: ChainID) -> Layer:
        return self._database.read(chain_id)

    def exists(self, chain_id: ChainID) -> bool:
        return self._database.exists(chain_id)

    def all(self) -> Iterator[Layer]:
        for chain in self._database.chain_ids():
            try:
                yield self._database.read(chain)
            except (DamagedLayer, LayerNotFound):
                continue  # damaged, or released meanwhile

    def stack(self, chain_id: ChainID | None) -> list[Layer]:
        """Raises ``NotFound``; ``Corrupt`` when a layer is damaged or its own ancestor."""
        layers: list[Layer] = []
        seen: set[ChainID] = set()
        while chain_id is not None:
            if chain_id in seen:
                raise CyclicLayers(chain_id)
            seen.add(chain_id)
            layers.append(self.get(chain_id))
            chain_id = layers[-1].parent
        layers.reverse()
        return layers

    def begin(self) -> LayerTransaction:
        from lamina.layer.transaction import LayerTransaction

        return LayerTransaction(self.workshop)

    def release(self, keep: Iterable[ChainID], candidates: Iterable[ChainID] | None = None) -> list[Layer]:
        """Delete unneeded layers; see the contract. With ``candidates`` only those and what is below them."""
        from lamina.layer.release import release

        return release(self.workshop, keep, candidates)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """See the contract. What was removed inside is freed after the lock is given up."""
        with self.root.lock("store"):
            yield
        if not self.root.holds("store"):
            self.workshop.trash.empty()

    def tar(self, layer: Layer) -> Iterator[bytes]:
        from lamina.layer.reading import layer_tar

        return layer_tar(self.workshop, layer)

    @contextmanager
    def mounted_image(self, chain_id: ChainID | None) -> Iterator[str]:
        """See the contract. The view has an id of its own, so nobody else can unmount it."""
        if chain_id is not None and self.driver.form is DiffForm.SNAPSHOT:
            with kept(self.workshop, chain_id):
                yield self.driver.diff_path(self._database.cache_id(chain_id))
            return
        with self.root.writing(), kept(self.workshop, chain_id):
            entry = self.workshop.journal.begin()
            id = entry.new_id()
            try:
                below = self._database.cache_id(chain_id) if chain_id is not None else None
                self.driver.create_read_write(id, below)
                yield self.driver.mount(id, read_only=True)
            finally:
                self.driver.remove(id)
                entry.close()

    # Recovery

    def set_recovery(self, recover: Callable[[], object]) -> None:
        """What to call when a transaction failed that had published layers: the image store knows who needs them."""
        self.workshop.recover = recover

    def operation(self) -> AbstractContextManager[Entry]:
        """The journal entry of the transaction that this thread is in, or one for as long as the context lasts."""
        return self.workshop.operation()

    def dead_entries(self) -> list[Entry]:
        """Entries of operations whose process died, locked; close or abandon each."""
        return list(self.workshop.journal.dead())

    def needs_recovery(self) -> bool:
        """Whether operations are running or were interrupted, or removed things still take up space."""
        return not (self.workshop.journal.is_empty() and self.workshop.trash.is_empty())

    def reclaim(self, entry: Entry) -> None:
        """Remove what a dead entry accounts for and nothing refers to."""
        from lamina.layer.recovery import reclaim

        reclaim(self.workshop, entry)

    # Writable layers

    def create_writable(
        self,
        container_id: str,
        parent: ChainID | None,
        initial: Skeleton | None = None,
        *,
        volatile: bool = False,
        unsynced: list[str] | None = None,
    ) -> MountedLayer:
        return self._writable.create(container_id, parent, initial, volatile=volatile, unsynced=unsynced)

    def container_operation(self, container_id: str) -> AbstractContextManager[None]:
        return self._writable.container_operation(container_id)

    def settle(self, container_id: str) -> None:
        """The container that a writable layer was made for exists now."""
        self._writable.settle(container_id)

    def writable(self, container_id: str) -> MountedLayer:
        return self._writable.get(container_id)

    def has_writable(self, container_id: str) -> bool:
        """Whether a container has a writable layer, damaged or not."""
        return container_id in self._database.containers()

    def writables(self) -> list[str]:
        """Container id of every writable layer."""
        return self._database.containers()

    def mount(self, container_id: str, *, volatile: bool = False) -> str:
        return self._writable.mount(container_id, volatile=volatile)

    def unmount(self, container_id: str) -> None:
        self._writable.unmount(container_id)

    def reading(self, container_id: str) -> AbstractContextManager[None]:
        return self._writable.reading(container_id)

    def remove_writable(self, container_id: str) -> None:
        self._writable.discard(container_id)
        self.free()

    def discard_writable(self, container_id: str) -> None:
        self._writable.discard(container_id)

    def free(self) -> None:
        with self.workshop.root.writing():
            self.workshop.trash.empty()

    def changes(self, container_id: str) -> list[Change]:
        from lamina.layer import content

        return content.changes(self.workshop, self.writable(container_id))

    def writable_tar(self, container_id: str) -> Iterator[bytes]:
        from lamina.layer import content

        return content.writable_tar(self.workshop, self.writable(container_id))

    def writable_size(self, container_id: str) -> int:
        from lamina.layer import content

        return content.writable_size(self.workshop, self.writable(container_id))


def _implements_contract(store: FileLayerStore) -> LayerStore:
    return store
