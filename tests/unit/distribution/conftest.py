"""Stores without mounts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lamina.distribution.stores import Stores
from support.storage import open_storage


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    """Empty stores on a root with the vfs driver."""
    if os.geteuid() != 0:
        pytest.skip("needs root: layers keep their owners")
    storage = open_storage(str(tmp_path / "root"), "vfs")
    return Stores(storage.root, storage.layers, storage.images)
