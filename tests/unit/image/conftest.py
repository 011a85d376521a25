"""Stores on a temporary root, with the driver that needs no rights."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.storage import Storage, open_storage


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return open_storage(str(tmp_path / "root"), "vfs")
