"""A dockerd and a lamina that get the same commands on two roots."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support import programs
from support.command import Lamina
from support.dockerd import Dockerd
from support.images import small_image
from support.pair import Pair


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dockerd]:
    """An empty dockerd of this module's own."""
    programs.need_root()
    programs.need("dockerd")
    running = Dockerd(str(tmp_path_factory.mktemp("changing")))
    running.start()
    try:
        yield running
    finally:
        running.close()


@pytest.fixture
def changing(daemon: Dockerd, lamina: Lamina) -> Iterator[Pair]:
    """Two roots without images."""
    yield Pair(daemon, lamina)
    left = daemon.docker("images", "-aq").split()
    if left:
        daemon.run("rmi", "-f", *left)


@pytest.fixture
def archive(tmp_path: Path) -> Callable[..., str]:
    """``archive(NAME..., created=..., content=..., labels=...)``: the path of an archive of a small image."""

    def make(*names: str, created: str = "2021-05-06T07:08:09Z", content: str = "x", **options: dict[str, str]) -> str:
        image = small_image(created, content, **options)
        return image.docker_archive(str(tmp_path / f"{content}.tar"), *names)

    return make
