"""A root with an image to build on, and a build context."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.command import Lamina
from support.website import Website, website


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


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Website]:
    """A web server on the loopback."""
    repositories = tmp_path / "repositories"
    repositories.mkdir()
    with website(repositories) as served:
        yield served
