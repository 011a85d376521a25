"""What the parts of a layer store share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from lamina.contextlib import contextmanager
from lamina.dataroot import DataRoot
from lamina.digest import ChainID
from lamina.filelock import FileLock, lock_directory
from lamina.graphdriver.contract import GraphDriver
from lamina.layer.database import LayerDatabase
from lamina.layer.journal import Entry, Journal
from lamina.layer.trash import Trash


class Workshop:
    """What a layer store's transactions work with.

    :ivar recover: reclaims what an interrupted or failed operation left, and layers that no image needs.
    """

    __slots__ = ("database", "driver", "journal", "recover", "root", "trash")

    def __init__(self, root: DataRoot, driver: GraphDriver) -> None:
        self.root = root
        self.driver = driver
        self.database = LayerDatabase(root)
        self.journal = Journal(root)
        self.trash = Trash(root, driver)
        self.recover: Callable[[], object] | None = None

    @contextmanager
    def operation(self) -> Iterator[Entry]:
        """The entry of the operation that this thread is in, or one for as long as the context lasts.

        When the block raises, what it left is reclaimed at once.
        """
        is_outermost = self.journal.current() is None
        try:
            with self.journal.operation() as entry:
                yield entry
        except BaseException:
            if is_outermost and self.recover is not None:
                self.recover()
            raise

    def fill_lock(self, chain: ChainID) -> FileLock:
        """Whoever fills a layer holds it, so that the work is done once."""
        return FileLock(self.root.sub("lamina/locks/layers", chain.hex))

    def use(self, chain: ChainID) -> int | None:
        """A descriptor that keeps a layer from being released until it is closed; ``None`` when there is no layer."""
        try:
            return lock_directory(self.database.path(chain), shared=True)
        except FileNotFoundError:
            return None

    def delete(self, chain: ChainID) -> bool:
        """Remove a layer that nothing on top needs; ``False`` when a transaction uses it. Its space is freed later."""
        path = self.database.path(chain)
        try:
            exclusive = lock_directory(path, wait=False)
        except FileNotFoundError:
            return True
        if exclusive is None:
            return False
        try:
            self.trash.discard(path)
        finally:
            os.close(exclusive)
        return True
