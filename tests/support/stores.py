"""The stores of a data root, opened without the engine, and what is on its disk."""

from __future__ import annotations

import os

from lamina.dataroot import DataRoot
from lamina.distribution.stores import Stores
from lamina.graphdriver import open_driver
from lamina.image.store import FileImageStore
from lamina.layer.store import FileLayerStore

_HOMES = {"overlay2", "overlay2/l", "vfs", "vfs/dir", "vfs/parent"}


def open_stores(path: str, driver: str = "vfs") -> Stores:
    """The stores of the root ``path``, which is made when it is absent. ``vfs`` needs no rights."""
    root = DataRoot.open(path)
    layers = FileLayerStore(root, open_driver(path, driver))
    return Stores(root, layers, FileImageStore(root, layers))


def content(path: str) -> set[str]:
    """Every path below a root, without locks and the directories that a driver makes when it is first used."""
    found: set[str] = set()
    for directory, folders, files in os.walk(path):
        found.update(os.path.relpath(os.path.join(directory, name), path) for name in (*folders, *files))
    return {name for name in found - _HOMES if not name.startswith("lamina/locks/")}
