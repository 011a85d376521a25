"""The layers of one image: claimed or staged, filled, and published together.

Order on disk, so that a crash at any moment leaves either whole layers or garbage that the journal accounts for:

1. the journal's entry exists;
2. each layer's directory in the graph driver and ``layerdb/tmp/<cache-id>`` are made and filled;
3. one ``syncfs`` puts data and metadata on disk;
4. ``layerdb/tmp/<cache-id>`` is renamed to ``layerdb/sha256/<chain id>``, bottom layer first;
5. the caller adds the image; the entry goes.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from types import TracebackType

from lamina.atomicfile import sync_directory
from lamina.contextlib import contextmanager
from lamina.digest import ChainID, DiffID, DigestMismatch, chain_id
from lamina.errors import LaminaError
from lamina.filelock import FileLock, lock_directory
from lamina.graphdriver.contract import DiffForm
from lamina.layer.contract import Layer, StagedLayer
from lamina.layer.database import LayerNotFound
from lamina.layer.failure import out_of_space
from lamina.layer.staged import Staged, UnfilledLayer, Workplace
from lamina.layer.workshop import Workshop


class LayerTransaction:
    """Makes the layers of one image; see :class:`lamina.layer.contract.LayerTransaction`.

    Claims are taken bottom layer first, so two transactions never wait for each other in a circle: each waits only for
    a layer above all that it has. Add the image inside the ``with`` block: until its end nobody releases the layers.
    """

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop
        workshop.root.begin_writing()
        try:
            self.entry = workshop.journal.begin()
        except BaseException as error:
            workshop.root.end_writing()
            failure = out_of_space(error, workshop.root.path)
            if failure is not None:
                raise failure from error
            raise
        workshop.journal.enter(self.entry)
        self._workplace = Workplace(workshop.driver, self.entry, workshop.database.temporary)
        self._layers: list[Layer | Staged] = []
        self._staged: list[Staged] = []
        self._claims: dict[ChainID, Layer | Staged] = {}
        self._fills: list[FileLock] = []
        self._uses: dict[ChainID, int] = {}
        self._committed = False

    def __enter__(self) -> LayerTransaction:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        clean = self._committed and error is None
        try:
            if not self._committed:
                clean = self._undo()
            self._workplace.clear()
        except BaseException:
            clean = False
            raise
        finally:
            self._end(clean)
        failure = out_of_space(error, self._workshop.root.path)
        if failure is not None:
            raise failure from error

    # Claims

    def claim(self, diff_id: DiffID, parent: Layer | StagedLayer | None) -> Layer | Staged:
        """See :meth:`lamina.layer.contract.LayerTransaction.claim`."""
        below = _own(parent)
        if below is not None and below.chain_id is None:
            raise UnfilledLayer(below.cache_id)
        chain = chain_id(below.chain_id if below is not None else None, diff_id)
        known = self._claims.get(chain)
        if known is None:
            known = self._claim(chain, diff_id, below)
            self._claims[chain] = known
        self._layers.append(known)
        return known

    def _claim(self, chain: ChainID, diff_id: DiffID, parent: Layer | Staged | None) -> Layer | Staged:
        """The layer when it exists, else a new one that only this transaction fills."""
        if self._use(chain):
            return self._workshop.database.read(chain)
        lock = self._workshop.fill_lock(chain)
        lock.acquire()
        self._fills.append(lock)
        if self._use(chain):
            return self._workshop.database.read(chain)
        return self._new(diff_id, parent)

    def stage(self, parent: Layer | StagedLayer | None) -> Staged:
        """See :meth:`lamina.layer.contract.LayerTransaction.stage`."""
        below = _own(parent)
        if isinstance(below, Layer):
            self._use_stack(below.chain_id)
        staged = self._new(None, below)
        self._layers.append(staged)
        return staged

    @property
    def moves(self) -> bool:
        """Whether :meth:`move` works: not where a layer's directory holds what is below it too."""
        return self._workplace.driver.form is not DiffForm.SNAPSHOT

    def move(self, staged: Staged, parent: Layer | Staged | None) -> None:
        """Put a filled layer that was staged on nothing onto ``parent``, as if it had been staged there just now."""
        if isinstance(parent, Layer):
            self._use_stack(parent.chain_id)
        if parent is not None:
            staged.rebase(parent)
        for layers in (self._staged, self._layers):
            layers.remove(staged)
            layers.append(staged)

    def drop(self, staged: Staged) -> None:
        """Give up a layer that nothing stands on, as if it had never been staged."""
        staged.stop()
        staged.discard()
        self._staged.remove(staged)
        self._layers.remove(staged)

    @contextmanager
    def view(self, layer: Layer | Staged | None) -> Iterator[str]:
        """The files of a stack, read-only, at a host path for as long as the context lasts; filled layers may be new.

        Raises ``UnfilledLayer``.
        """
        driver = self._workshop.driver
        if isinstance(layer, Staged) and layer.result is None:
            raise UnfilledLayer(layer.cache_id)
        id = self.entry.new_id()
        try:
            driver.create_read_write(id, layer.cache_id if layer is not None else None)
            yield driver.mount(id, read_only=True)
        finally:
            driver.remove(id)

    def hold(self, chain: ChainID | None) -> Layer | None:
        """An existing layer, kept with all below it while the transaction lasts; ``None`` for no layer.

        Raises ``LayerNotFound``.
        """
        self._use_stack(chain)
        return self._workshop.database.read(chain) if chain is not None else None

    def _new(self, diff_id: DiffID | None, parent: Layer | Staged | None) -> Staged:
        staged = Staged(self._workplace, diff_id, parent)
        self._staged.append(staged)
        return staged

    def _use(self, chain: ChainID) -> bool:
        """Keep a layer from being released while the transaction lasts; whether it exists."""
        if chain not in self._uses:
            descriptor = self._workshop.use(chain)
            if descriptor is None:
                return False
            self._uses[chain] = descriptor
        return True

    def _use_stack(self, chain: ChainID | None) -> None:
        """Keep a layer and all below it. Raises ``LayerNotFound``."""
        while chain is not None and chain not in self._uses:
            if not self._use(chain):
                raise LayerNotFound(chain)
            chain = self._workshop.database.parent(chain)

    # Commit

    def commit(self) -> list[Layer]:
        """See :meth:`lamina.layer.contract.LayerTransaction.commit`."""
        for staged in self._staged:
            if staged.result is None:
                raise UnfilledLayer(staged.cache_id)
            if staged.diff_id is not None and staged.diff_id != staged.result.diff_id:
                raise DigestMismatch(f"layer {staged.diff_id}", staged.diff_id, staged.result.diff_id)
        for staged in self._staged:
            self._settle(staged)
        if self._staged:
            self._workshop.driver.sync()
        for staged in self._staged:
            self._publish(staged)
        if self._staged:
            sync_directory(self._workshop.database.layers)
        self._committed = True
        for staged in self._staged:
            if not staged.is_published:
                staged.discard()
        return [layer if isinstance(layer, Layer) else _published(layer) for layer in self._layers]

    def _settle(self, staged: Staged) -> None:
        """Write a filled layer's metadata, or drop it for the layer that exists by now.

        The one below may have been dropped so, or moved since this one was made: then this one moves too.
        """
        chain = staged.chain_id
        assert chain is not None
        if self._use(chain):
            staged.layer = self._workshop.database.read(chain)
            return
        foundation = staged.foundation
        if foundation is not None and staged.is_displaced:
            staged.rebase(foundation)
        self._workshop.database.write(staged.directory, _described(staged))

    def _publish(self, staged: Staged) -> None:
        """Rename one layer into place: from here on it exists."""
        if staged.layer is None and staged.is_displaced:
            self._settle(staged)  # another process made one of those below just now
            self._workshop.driver.sync()
        if staged.layer is not None:
            return
        chain = staged.chain_id
        assert chain is not None
        use = lock_directory(staged.directory, shared=True)
        assert use is not None
        try:
            os.rename(staged.directory, self._workshop.database.path(chain))
        except OSError as error:
            os.close(use)
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY) or not self._use(chain):
                raise
            staged.layer = self._workshop.database.read(chain)
        else:
            self._uses[chain] = use
            staged.layer = _described(staged)  # not read: whatever fails from here on has a published layer to undo

    # The end

    def _undo(self) -> bool:
        """Remove everything that was made, top layer first; whether nothing is left."""
        clean = True
        for staged in reversed(self._staged):
            try:
                staged.stop()
                if staged.is_published and not self._retract(staged):
                    continue
                staged.discard()
            except (OSError, LaminaError):
                clean = False  # the journal's entry stays, and recovery tries again
        self._workshop.trash.empty()
        return clean

    def _retract(self, staged: Staged) -> bool:
        """Take a published layer back; ``False`` when another transaction builds on it already."""
        assert staged.layer is not None
        chain = staged.layer.chain_id
        os.close(self._uses.pop(chain))
        return self._workshop.delete(chain)

    def _end(self, clean: bool) -> None:
        """Give the locks up, and reclaim what is left when it did not end well."""
        for lock in self._fills:
            lock.release()
        for descriptor in self._uses.values():
            os.close(descriptor)
        self._workshop.journal.leave(self.entry)
        if clean:
            self.entry.close()
        else:
            self.entry.abandon()
        self._workshop.root.end_writing()
        if not clean and self._workshop.recover is not None:
            self._workshop.recover()


def _own(parent: Layer | StagedLayer | None) -> Layer | Staged | None:
    assert parent is None or isinstance(parent, (Layer, Staged)), "a layer of another store"
    return parent


def _described(staged: Staged) -> Layer:
    """What a filled layer is going to be."""
    chain, result, foundation = staged.chain_id, staged.result, staged.foundation
    assert chain is not None
    assert result is not None
    return Layer(chain, result.diff_id, foundation.chain_id if foundation else None, result.size, staged.cache_id)


def _published(staged: Staged) -> Layer:
    assert staged.layer is not None
    return staged.layer
