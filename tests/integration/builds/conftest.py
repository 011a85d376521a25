"""A root with an image to build on, and a build context."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.building import LocalBuilder
from support.command import Lamina
from support.mounts import memory_file_system
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


@pytest.fixture
def builder(tmp_path: Path, context: Path) -> Iterator[LocalBuilder]:
    """Builds in this process."""
    with memory_file_system(str(tmp_path / "memory")) as memory:
        yield LocalBuilder(f"{memory}/root", context)
