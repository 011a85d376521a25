"""dockerd and lamina on one root know of each other where layers came from and went to."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lamina.distribution.pull import pull
from lamina.distribution.push import push
from lamina.progress import Event
from lamina.reference import parse
from lamina.registry.client import RegistryClient
from lamina.registry.settings import Settings
from support.dockerd import Dockerd
from support.images import TestImage, layered_image
from support.registry import Registry
from support.stores import open_stores

pytestmark = [pytest.mark.dockerd, pytest.mark.registry]


@pytest.fixture
def client() -> Iterator[RegistryClient]:
    with RegistryClient(Settings()) as opened:
        yield opened


@pytest.fixture
def image() -> TestImage:
    return layered_image(docker=True)


def pushed_digest(output: str) -> str:
    found = re.search(r"digest: (sha256:\w+) size:", output)
    assert found is not None, output
    return found[1]


def uploads(server: Registry) -> int:
    """How many blobs were sent. dockerd sends the configuration, which nobody mounts, in the same way as layers."""
    return sum(line.startswith("PATCH ") for line in server.requests())


def test_dockerd_mounts_layers_that_lamina_pulled(
    registry: Callable[..., Registry],
    dockerd_on: Callable[..., Dockerd],
    tmp_path: Path,
    client: RegistryClient,
    image: TestImage,
) -> None:
    server = registry()
    name = server.upload(image, "x")
    root = str(tmp_path / "root")
    pull(parse(name), open_stores(root, "overlay2"), client)
    dockerd = dockerd_on(root)
    assert f"{server.address}/x@{image.manifest_digest}" in dockerd.docker("image", "inspect", name)
    assert "Image is up to date" in dockerd.docker("pull", name)
    dockerd.docker("tag", name, f"{server.address}/y:1")
    output = dockerd.docker("push", f"{server.address}/y:1")
    assert output.count("Mounted from x") == 4
    assert uploads(server) == 1


def test_lamina_mounts_layers_that_dockerd_pulled_and_writes_the_same_manifest(
    registry: Callable[..., Registry],
    dockerd_on: Callable[..., Dockerd],
    tmp_path: Path,
    client: RegistryClient,
    image: TestImage,
) -> None:
    server = registry()
    name = server.upload(image, "x")
    root = str(tmp_path / "root")
    dockerd = dockerd_on(root)
    dockerd.docker("pull", name)
    for number in "12":
        dockerd.docker("tag", name, f"{server.address}/y{number}:1")
    expected = pushed_digest(dockerd.docker("push", f"{server.address}/y1:1"))
    dockerd.stop()
    events: list[Event] = []
    stores = open_stores(root, "overlay2")
    result = push(parse(f"{server.address}/y2:1"), stores, client, report=events.append)[0]
    assert sum(event.status.startswith("Mounted from") for event in events) == 4
    assert result.digest == expected
    assert uploads(server) == 1
