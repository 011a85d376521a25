"""What ``info`` says of the graph driver."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lamina import Engine
from lamina.view.system import ContainerCounts, info
from support.images import LayerTar, TestImage


def status_of(engine: Engine) -> dict[str, str]:
    return dict(info(engine, ContainerCounts([]), {}, "runc")["DriverStatus"])


def test_it_says_why_the_driver_was_chosen(tmp_path: Path) -> None:
    engine = Engine(str(tmp_path / "root"), storage_driver="vfs")
    assert status_of(engine)["Chosen Because"] == "asked for by name"


def test_a_root_with_images_keeps_its_driver(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root: layers keep their owners")
    image = TestImage([LayerTar().file("a").bytes()])
    archive = image.docker_archive(str(tmp_path / "a.tar"), "a:1")
    Engine(str(tmp_path / "root"), storage_driver="vfs").images.load(archive).result()
    status = status_of(Engine(str(tmp_path / "root")))
    assert status["Not overlay2 Because"] == "the root's images are in vfs"
    assert list(status.items())[-1] == ("Chosen Because", "the root has images in it")
