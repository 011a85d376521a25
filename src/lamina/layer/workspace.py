"""A build step's place to work: a writable mount on a layer in the making, whose changes become that layer.

The upper directory of the mount *is* the layer: it is renamed into the layer's place, and one pass over it finds the
DiffID and writes the tar-split record. For drivers with whole trees (``vfs``) the changes go through a tar.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from lamina.errors import Conflict
from lamina.graphdriver.contract import DiffForm
from lamina.layer import difference
from lamina.layer.contract import UnpackResult
from lamina.layer.pipeline import record
from lamina.layer.tree import walk

if TYPE_CHECKING:
    from lamina.layer.staged import Staged, Workplace

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class WorkspaceSealed(Conflict):
    """The workspace has been made a layer, or given up."""

    def __init__(self, id: str) -> None:
        super().__init__(f"workspace {id} is not open any more")


class Workspace:
    """One step's mount. Leaving the ``with`` block without :meth:`seal` throws the changes away.

    :ivar path: host path of the merged directory; valid until the workspace is sealed or left.
    """

    def __init__(
        self, workplace: Workplace, staged: Staged, below: str | None, initialise: Callable[[str], None] | None
    ) -> None:
        """
        :param below: graph driver id of the layer below; ``None`` for an empty tree.
        :param initialise: gets the mounted path of a layer between the two, whose content never is in the result:
            mount points, ``/etc/resolv.conf`` and the like.
        """
        self._driver = workplace.driver
        self._staged = staged
        self._below = below
        self._initialise = initialise
        self._id = workplace.entry.new_id()
        self._initial = f"{self._id}-init" if initialise is not None else ""
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
        driver, below = self._driver, self._below
        if self._initialise is not None:
            driver.create_read_write(self._initial, below)
            self._initialise(driver.mount(self._initial, volatile=True))
            driver.unmount(self._initial)
            below = self._initial
        driver.create_read_write(self._id, below)
        self.path = driver.mount(self._id, volatile=True)

    def remove(self) -> None:
        """Unmount, and delete what is not the layer's. Idempotent. What can't be removed is in the journal."""
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
            raise WorkspaceSealed(self._id)
        self.path = ""
        self._driver.unmount(self._id)
        if self._driver.form is not DiffForm.SNAPSHOT:
            return self._adopt(latest)
        directory = self._driver.diff_path(self._id)
        below = self._initial or self._below
        tar = difference.snapshot_tar(directory, self._driver.diff_path(below) if below else None)
        return self._staged.fill(_clamped(directory, tar, latest))

    def _adopt(self, latest: int | None) -> UnpackResult:
        directory = self._staged.adopt(self._driver.diff_path(self._id))
        _tidy(directory, latest)
        result = record(difference.upper_tar(directory, self._driver.form), self._staged.tar_split_path)
        self._staged.complete(result)
        return result


def _clamped(directory: str, tar: Iterator[bytes], latest: int | None) -> Iterator[bytes]:
    _tidy(directory, latest)
    yield from tar


def _tidy(directory: str, latest: int | None) -> None:
    """Remove sockets, which no layer holds, and cut times."""
    root = os.open(directory, _DIRECTORY)
    limit = None if latest is None else latest * 1_000_000_000
    try:
        for node in walk(root):
            if stat.S_ISSOCK(node.status.st_mode):
                os.unlink(node.name, dir_fd=node.directory)
            elif limit is not None and node.status.st_mtime_ns > limit:
                os.utime(node.name, ns=(limit, limit), dir_fd=node.directory, follow_symlinks=False)
    finally:
        os.close(root)
