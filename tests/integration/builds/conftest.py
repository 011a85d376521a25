"""A root with an image to build on, and a build context."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.command import Lamina


@pytest.fixture
def built(lamina: Lamina, busybox_archive: str) -> Lamina:
    """lamina on a root with the image ``busybox``."""
    lamina("load", "--input", busybox_archive)
    return lamina


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """An empty directory to build from."""
    directory = tmp_path / "context"
    directory.mkdir()
    return directory
