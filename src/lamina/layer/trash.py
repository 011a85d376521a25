"""The trash: what has been removed already and only takes up space.

Removal is a rename into ``lamina/trash``: afterwards nothing refers to the thing, whatever happens. Freeing its space
takes longer and is repeated by the next process if this one dies. It waits for whoever reads what was removed: a
reader holds a shared lock on the directory.
"""

from __future__ import annotations

import errno
import os

from lamina.dataroot import DataRoot
from lamina.filelock import lock_directory
from lamina.graphdriver.contract import GraphDriver
from lamina.graphdriver.removal import remove_tree
from lamina.layer.database import driver_ids_in, list_directory

#: Why a rename into the trash may fail where removing in place does not: no room for the name, another file system.
_RENAME_FAILURES = (errno.ENOSPC, errno.EDQUOT, errno.EXDEV)


class Trash:
    """What is to be deleted on one root."""

    def __init__(self, root: DataRoot, driver: GraphDriver) -> None:
        self._root = root
        self._driver = driver
        self._directory = root.sub("lamina/trash")

    def discard(self, path: str) -> bool:
        """Remove a file or directory at once by moving it here; whether it was there.

        A directory that names graph driver ids (``cache-id``, ``mount-id``, ``init-id``) takes those along.
        """
        target = f"{self._directory}/{os.path.basename(path)}.{os.urandom(8).hex()}"
        try:
            os.rename(path, target)
        except FileNotFoundError:
            return False
        except OSError as error:
            if error.errno not in _RENAME_FAILURES:
                raise
            self._delete(path)
        return True

    def is_empty(self) -> bool:
        return not list_directory(self._directory)

    def empty(self) -> None:
        """Free the space of all that is here and that nobody reads. Waits for another process that does."""
        read: set[str] = set()
        while names := set(list_directory(self._directory)) - read:
            with self._root.lock("trash"):
                read.update(name for name in names if not self._free(f"{self._directory}/{name}"))

    def _free(self, path: str) -> bool:
        """Delete it, unless somebody reads a layer that it names and frees it later. Nobody begins to, here."""
        if not driver_ids_in(path):
            self._delete(path)
            return True
        try:
            exclusive = lock_directory(path, wait=False)
        except FileNotFoundError:  # another process was faster
            return True
        if exclusive is None:
            return False
        try:
            self._delete(path)
        finally:
            os.close(exclusive)
        return True

    def _delete(self, path: str) -> None:
        for id in driver_ids_in(path):
            self._driver.remove(id)
        remove_tree(path)
