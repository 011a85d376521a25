"""One root with a busybox image for all tests of containers; each test removes what it makes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support import programs
from support.command import Lamina


@pytest.fixture(scope="session")
def container_root(tmp_path_factory: pytest.TempPathFactory, busybox_archive: str) -> Lamina:
    """A root that has ``busybox:latest``."""
    programs.need_root()
    programs.need("crun")
    home = tmp_path_factory.mktemp("containers")
    command = Lamina(str(home / "root"), str(home / "docker-config"))
    command("load", "-q", "-i", busybox_archive)
    return command


@pytest.fixture
def box(container_root: Lamina) -> Iterator[Lamina]:
    """The command on that root; its containers and volumes are gone after the test."""
    yield container_root
    container_root.remove_containers()
    container_root.run("volume", "prune", "-f")
