"""Stores without mounts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lamina.distribution.stores import Stores
from support.stores import open_stores


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    """Empty stores on a root with the vfs driver."""
    if os.geteuid() != 0:
        pytest.skip("needs root: layers keep their owners")
    return open_stores(str(tmp_path / "root"))
