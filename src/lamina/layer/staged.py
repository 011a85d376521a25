"""One layer in the making: its directories, and the unpacking that fills them."""

from __future__ import annotations

import os
from _thread import allocate_lock
from collections.abc import Callable, Iterable

from lamina.digest import ChainID, DiffID, chain_id
from lamina.errors import Conflict
from lamina.graphdriver.contract import DiffForm, GraphDriver
from lamina.graphdriver.removal import remove_tree
from lamina.layer.contract import Layer, UnpackJob, UnpackResult
from lamina.layer.database import TAR_SPLIT
from lamina.layer.journal import Entry
from lamina.layer.unpack import UnpackTarget, start_unpack
from lamina.typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from lamina.layer.workspace import Initial, Workspace

_CHUNK = 1 << 20


class UnfilledLayer(Conflict):
    """A layer's content is needed and it has none."""

    def __init__(self, cache_id: str) -> None:
        super().__init__(f"layer in {cache_id} has not been filled")


class Workplace:
    """What the layers of one transaction share: where they are made and what accounts for them.

    :ivar initials: initial layers of build steps, which :meth:`clear` removes.
    """

    __slots__ = ("driver", "entry", "initials", "temporary")

    def __init__(self, driver: GraphDriver, entry: Entry, temporary: str) -> None:
        self.driver = driver
        self.entry = entry
        self.temporary = temporary
        self.initials: list[Initial] = []

    def clear(self) -> None:
        """Remove what steps shared."""
        while self.initials:
            self.driver.remove(self.initials[-1].id)
            self.initials.pop()


class Staged:
    """One layer of a transaction; see :class:`lamina.layer.contract.StagedLayer`.

    :ivar parent: the existing layer or the one in the making below it.
    :ivar result: what unpacking found; ``None`` until it is filled.
    :ivar layer: what it became; ``None`` until the transaction has committed.
    """

    def __init__(self, workplace: Workplace, diff_id: DiffID | None, parent: Layer | Staged | None) -> None:
        self.diff_id = diff_id
        self.cache_id = workplace.entry.new_id()
        self.parent = parent
        self.result: UnpackResult | None = None
        self.layer: Layer | None = None
        self._workplace = workplace
        self._job: _Job | None = None
        self._created = False
        self._below: str | None = None
        self._ended = False
        self._creating = allocate_lock()
        self._waiting = allocate_lock()
        self._waiting.acquire()

    @property
    def directory(self) -> str:
        """``layerdb/tmp/<cache-id>``: the metadata-to-be."""
        return f"{self._workplace.temporary}/{self.cache_id}"

    @property
    def chain_id(self) -> ChainID | None:
        """ChainID as far as it is known: by what was claimed, or by what was found."""
        diff_id = self.diff_id or (self.result.diff_id if self.result else None)
        if diff_id is None:
            return None
        if self.parent is None:
            return chain_id(None, diff_id)
        below = self.parent.chain_id
        return chain_id(below, diff_id) if below is not None else None

    @property
    def is_published(self) -> bool:
        """Whether this very layer was renamed into place, not an equal one of another process."""
        return self.layer is not None and self.layer.cache_id == self.cache_id

    @property
    def foundation(self) -> Layer | Staged | None:
        """What it stands on when the layers below are settled: its parent, or the equal layer that was there first."""
        parent = self.parent
        if isinstance(parent, Staged) and parent.layer is not None and not parent.is_published:
            return parent.layer
        return parent

    @property
    def is_displaced(self) -> bool:
        """Whether it was made on a directory that is not its foundation's any more."""
        below = self.foundation
        return self._below != (below.cache_id if below is not None else None)

    def unpack(self) -> UnpackJob:
        """See :meth:`lamina.layer.contract.StagedLayer.unpack`. An earlier, failed attempt's content is thrown away."""
        if self._job is not None:
            self._job.give_up()
            self._empty()
        self._create()
        driver = self._workplace.driver
        target = UnpackTarget(
            directory=driver.diff_path(self.cache_id),
            form=driver.form,
            tar_split_path=self.tar_split_path,
            inherit=(self._workplace.entry.descriptor,),
            owners=driver.owners,
        )
        self._job = _Job(self, start_unpack(target))
        return self._job

    def fill_from(self, stream: IO[bytes]) -> UnpackResult:
        """See :meth:`lamina.layer.contract.StagedLayer.fill_from`."""
        return self.fill(iter(lambda: stream.read(_CHUNK), b""))

    def fill(self, tar: Iterable[bytes]) -> UnpackResult:
        """:meth:`unpack` fed with all chunks of ``tar``."""
        job = self.unpack()
        try:
            for chunk in tar:
                job.feed(chunk)
            return job.finish()
        except BaseException:
            job.abort()
            raise

    def work(self, initialise: Callable[[str], None] | None = None, *, apart: bool = False) -> Workspace:
        """A writable mount whose changes become this layer; enter it, change files, and seal it.

        :param initialise: see :class:`lamina.layer.workspace.Workspace`.
        :param apart: the mount shows nothing of the layers below: the content would be the same on any others.
        """
        from lamina.layer.workspace import Workspace

        if apart:
            return Workspace(self._workplace, self, None, initialise)
        if isinstance(self.parent, Staged):
            self.parent._wait_filled()
        below = self.parent.cache_id if self.parent is not None else None
        return Workspace(self._workplace, self, below, initialise)

    def create(self) -> None:
        """Make its directories, for a caller who fills them. Idempotent."""
        self._create()

    @property
    def tar_split_path(self) -> str:
        """Where the record of its tar goes."""
        return f"{self.directory}/{TAR_SPLIT}"

    def adopt(self, directory: str) -> str:
        """Take a directory of the graph driver's, in its form, as the content by renaming it; the new path."""
        self._create()
        target = self._workplace.driver.diff_path(self.cache_id)
        os.rmdir(target)
        os.rename(directory, target)
        return target

    def complete(self, result: UnpackResult) -> None:
        """The content is there."""
        self.result = result
        self._end()

    def stop(self) -> None:
        """Stop what fills it and let nobody wait any longer."""
        if self._job is not None:
            self._job.abort()
        self._end()

    def discard(self) -> None:
        """Remove what is on disk. Idempotent."""
        self._workplace.driver.remove(self.cache_id)
        remove_tree(self.directory)
        self._created = False

    def _empty(self) -> None:
        """Remove what an attempt to fill it has left."""
        if self._workplace.driver.form is DiffForm.SNAPSHOT:
            self.discard()  # it began with its parent's content; what is above waits until it is filled
            return
        # The layers above it are made already, and name it.
        content = self._workplace.driver.diff_path(self.cache_id)
        for name in os.listdir(content):
            remove_tree(f"{content}/{name}")
        remove_tree(self.tar_split_path)

    def rebase(self, parent: Layer | Staged) -> None:
        """Move the content onto ``parent``: a filled layer that shows the same below it, where that matters."""
        driver = self._workplace.driver
        old, old_directory = self.cache_id, self.directory
        self.cache_id = self._workplace.entry.new_id()
        self.parent = parent
        self._below = parent.cache_id
        driver.create(self.cache_id, self._below)
        target = driver.diff_path(self.cache_id)
        remove_tree(target)
        os.rename(driver.diff_path(old), target)
        os.rename(old_directory, self.directory)
        driver.remove(old)

    def _create(self) -> None:
        """Make the directories, those of the layers below first: a driver must know the parent.

        A snapshot starts with its parent's content, so it waits until that is filled.
        """
        driver = self._workplace.driver
        if isinstance(self.parent, Staged):
            if driver.form is DiffForm.SNAPSHOT:
                self.parent._wait_filled()
            else:
                self.parent._create()
        with self._creating:
            if not self._created:
                os.mkdir(self.directory, 0o700)
                self._created = True
                self._below = self.parent.cache_id if self.parent is not None else None
                driver.create(self.cache_id, self._below)

    def _wait_filled(self) -> None:
        with self._waiting:
            if self.result is None:
                raise UnfilledLayer(self.cache_id)

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            self._waiting.release()


class _Job:
    """An unpack job that tells its layer when it is done."""

    def __init__(self, staged: Staged, job: UnpackJob) -> None:
        self._staged = staged
        self._job = job

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        self._job.feed(data)

    def finish(self) -> UnpackResult:
        result = self._job.finish()
        self._staged.complete(result)
        return result

    def give_up(self) -> None:
        """Stop, for another attempt."""
        self._job.abort()

    def abort(self) -> None:
        self.give_up()
        self._staged._end()  # who waits for the content waits in vain
