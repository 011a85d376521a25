"""While a dockerd runs on a root, lamina reads it and changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from support.command import Lamina
from support.dockerd import Dockerd

pytestmark = [pytest.mark.root, pytest.mark.dockerd]

REFUSED = [
    ("tag", "busybox", "other"),
    ("rmi", "busybox"),
    ("pull", "127.0.0.1:1/busybox"),
    ("load", "-i", "ARCHIVE"),
    ("import", "ARCHIVE", "imported"),
    ("create", "--network", "none", "busybox"),
    ("run", "--rm", "--network", "none", "busybox", "true"),
]


@pytest.fixture
def shared(
    tmp_path: Path, dockerd_on: Callable[..., Dockerd], lamina_on: Callable[..., Lamina], busybox_archive: str
) -> tuple[Dockerd, Lamina]:
    """A running dockerd with busybox, and lamina on the same root."""
    root = tmp_path / "root"
    daemon = dockerd_on(root)
    daemon.docker("load", "-i", busybox_archive)
    return daemon, lamina_on(root)


def files_below(root: str) -> set[str]:
    return {str(path) for path in Path(root).rglob("*") if not path.is_relative_to(f"{root}/containerd")}


def test_reading_works_and_writing_is_refused_with_the_reason(
    shared: tuple[Dockerd, Lamina], busybox_archive: str
) -> None:
    daemon, lamina = shared
    assert lamina("images", "-q") == daemon.docker("images", "-q")
    assert lamina("image", "inspect", "busybox")
    assert lamina("history", "-q", "busybox") == daemon.docker("history", "-q", "busybox")
    before = files_below(daemon.root)
    for command in REFUSED:
        done = lamina.run(*(busybox_archive if word == "ARCHIVE" else word for word in command))
        assert done.returncode not in (0, None), command
        assert f"data root {daemon.root} is in use by a running dockerd" in done.stderr, (command, done.stderr)
    assert files_below(daemon.root) == before
    assert daemon.docker("images", "--format", "{{.Repository}}").split() == ["busybox"]


def test_writing_works_again_after_the_dockerd_has_ended(shared: tuple[Dockerd, Lamina]) -> None:
    daemon, lamina = shared
    daemon.stop()
    lamina("tag", "busybox", "other")
    assert "other" in lamina("images")
