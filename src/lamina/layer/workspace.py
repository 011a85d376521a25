"""A build step's place to work: a writable mount on a layer in the making, whose changes become that layer.

The upper directory of the mount *is* the layer: nothing is copied, and one pass over it finds the DiffID and writes
the tar-split record. For drivers with whole trees (``vfs``) the changes go through a tar.

What a container needs and no layer should have (mount points, ``/etc/resolv.conf``) lies in an *initial* layer between
the step's own and those below. Making one takes as long as starting a container, so where the driver can show a layer
between others, steps share it for as long as no step changes the directories that it is about.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from lamina.errors import Conflict
from lamina.graphdriver.contract import DiffForm, GraphDriver, interposing
from lamina.layer import difference
from lamina.layer.contract import UnpackResult
from lamina.layer.recording import record_upper
from lamina.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamina.layer.staged import Staged, Workplace

#: Fills a mounted initial layer, given its host path.
Initialise = Callable[[str], None]


class WorkspaceSealed(Conflict):
    """The workspace has been made a layer, or given up."""

    def __init__(self, cache_id: str) -> None:
        super().__init__(f"the workspace of layer {cache_id} is not open any more")


class Initial:
    """An initial layer that steps share.

    :ivar id: in the graph driver.
    :ivar initialise: what filled it.
    :ivar on: cache-ids of the layers that it is right on.
    :ivar names: what it has in its root directory.
    """

    def __init__(self, id: str, initialise: Initialise, below: str | None, names: frozenset[str]) -> None:
        self.id = id
        self.initialise = initialise
        self.on = {below}
        self.names = names

    def follow(self, cache_id: str, directory: str, below: str | None) -> None:
        """Tell of a new layer on ``below`` with the content of ``directory``: right there too if that keeps off."""
        if below in self.on and not any(os.path.lexists(f"{directory}/{name}") for name in self.names):
            self.on.add(cache_id)


class Workspace:
    """One step's mount. Leaving the ``with`` block without :meth:`seal` throws the changes away.

    :ivar path: host path of the merged directory; valid until the workspace is sealed or left.
    """

    def __init__(self, workplace: Workplace, staged: Staged, below: str | None, initialise: Initialise | None) -> None:
        """
        :param below: graph driver id of the layer below; ``None`` for an empty tree.
        :param initialise: fills the initial layer; ``None`` for none.
        """
        self._workplace = workplace
        self._driver = workplace.driver
        self._staged = staged
        self._below = below
        self._initialise = initialise
        # A tree without layers below is no overlay, and nothing can be put below it.
        self._interposing = interposing(self._driver) if below is not None else None
        self._id = "" if self._interposing is not None else workplace.entry.new_id()
        self._initial = ""
        self._deferred = False
        self.path = ""

    def __enter__(self) -> Workspace:
        try:
            self._open()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if not self._deferred:
            self.remove()

    def _open(self) -> None:
        driver = self._driver
        if self._interposing is not None:
            self._staged.create()
            if self._initialise is None:
                self.path = driver.mount(self._staged.cache_id, volatile=True)
            else:
                initial = self._shared(self._initialise)
                self.path = self._interposing.mount_above(self._staged.cache_id, initial, volatile=True)
            return
        below = self._below
        if self._initialise is not None:
            self._initial = f"{self._id}-init"
            _make_initial(driver, self._initial, below, self._initialise)
            below = self._initial
        driver.create_read_write(self._id, below)
        self.path = driver.mount(self._id, volatile=True)

    def _shared(self, initialise: Initialise) -> str:
        """Id of an initial layer that is right here: one of an earlier step's, or a new one."""
        for initial in self._workplace.initials:
            if initial.initialise == initialise and self._below in initial.on:
                return initial.id
        id = f"{self._workplace.entry.new_id()}-init"
        try:
            names = _make_initial(self._driver, id, self._below, initialise)
        except BaseException:
            self._driver.remove(id)
            raise
        self._workplace.initials.append(Initial(id, initialise, self._below, names))
        return id

    def remove(self) -> None:
        """Unmount, and delete what is not the layer's. Idempotent. What can't be removed is in the journal."""
        if self._interposing is not None:
            if self.path:
                self._driver.unmount(self._staged.cache_id)
            self.path = ""
            return
        self.path = ""
        self._driver.remove(self._id)
        if self._initial:
            self._driver.remove(self._initial)

    def seal(self, *, latest: int | None = None, defer: bool = False) -> UnpackResult:
        """Make the changes the layer's content. Nothing may be open in the mount.

        :param latest: seconds since the epoch; files that were changed later get this time.
        :param defer: leave it to the caller to call :meth:`remove` before the transaction ends.
        :raises Unsupported: what a layer can't express.
        """
        if not self.path:
            raise WorkspaceSealed(self._staged.cache_id)
        self.path = ""
        driver, staged = self._driver, self._staged
        if self._interposing is not None:
            driver.unmount(staged.cache_id)
            result = self._finished(driver.diff_path(staged.cache_id), latest)
            for initial in self._workplace.initials:
                initial.follow(staged.cache_id, driver.diff_path(staged.cache_id), self._below)
            return result
        driver.unmount(self._id)
        if driver.form is not DiffForm.SNAPSHOT:
            result = self._finished(staged.adopt(driver.diff_path(self._id)), latest)
            self._deferred = defer
            return result
        directory = driver.diff_path(self._id)
        below = self._initial or self._below
        tar = difference.snapshot_tar(directory, driver.diff_path(below) if below else None, driver.owners)
        return staged.fill(_clamped(directory, tar, latest))

    def _finished(self, directory: str, latest: int | None) -> UnpackResult:
        """The content is in its place: find out what it is."""
        driver = self._driver
        result = record_upper(directory, driver.form, self._staged.tar_split_path, owners=driver.owners, latest=latest)
        self._staged.complete(result)
        return result


def _make_initial(driver: GraphDriver, id: str, below: str | None, initialise: Initialise) -> frozenset[str]:
    """Make and fill one; the names in its root directory."""
    driver.create_read_write(id, below)
    initialise(driver.mount(id, volatile=True))
    driver.unmount(id)
    return frozenset(os.listdir(driver.diff_path(id)))


def _clamped(directory: str, tar: Iterator[bytes], latest: int | None) -> Iterator[bytes]:
    difference.tidy(directory, latest)
    yield from tar
