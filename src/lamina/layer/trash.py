"""The trash: what has been removed already and only takes up space.

Removal is a rename into ``lamina/trash``: afterwards nothing refers to the thing, whatever happens. Freeing its space
takes longer and is repeated by the next process if this one dies. It waits for whoever reads what was removed: a
reader holds a shared lock on the directory.
"""

from __future__ import annotations

import errno
import os

from lamina.dataroot import DataRoot
from lamina.errors import LaminaError
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
        self._own: set[str] = set()

    def discard(self, path: str) -> bool:
        """Remove a file or directory at once by moving it here; whether it was there.

        A directory that names graph driver ids (``cache-id``, ``mount-id``, ``init-id``) takes those along.
        """
        name = f"{os.path.basename(path)}.{os.urandom(8).hex()}"
        try:
            os.rename(path, f"{self._directory}/{name}")
        except FileNotFoundError:
            return False
        except OSError as error:
            if error.errno not in _RENAME_FAILURES:
                raise
            self._delete(path)
        else:
            self._own.add(name)
        return True

    def is_empty(self) -> bool:
        return not list_directory(self._directory)

    def empty(self) -> None:
        """Free the space of all that is here and that nobody reads. Waits for another process that does.

        What can't be deleted (an immutable file, a damaged disk) stays and stops nobody: who has discarded it gets the
        error, once, and the check of the root tells of it.
        """
        kept: set[str] = set()
        failures: list[Exception] = []
        while names := set(list_directory(self._directory)) - kept:
            for name in names:
                try:
                    if not self.free(name):
                        kept.add(name)
                except (OSError, LaminaError) as error:
                    kept.add(name)
                    if name in self._own:
                        failures.append(error)
        self._own.clear()
        for failure in failures:
            raise failure

    def free(self, name: str) -> bool:
        """Delete one, unless somebody reads a layer that it names and frees it later; whether it is gone.

        Nobody begins to read, here. Raises :class:`OSError` and what the graph driver raises.
        """
        path = f"{self._directory}/{name}"
        with self._root.lock("trash"):
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
