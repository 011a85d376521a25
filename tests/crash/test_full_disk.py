"""A full file system: one clear message, nothing half there, the space is back, and what fits works afterwards."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from support.command import Lamina
from support.images import LayerTar, TestImage
from support.registry import Registry
from support.storage import open_storage

pytestmark = [pytest.mark.crash, pytest.mark.root, pytest.mark.needs("mkfs.ext4")]

MEGABYTE = 1 << 20
SIZE = 40


def big_image(busybox: TestImage) -> TestImage:
    """Four layers, 48 MB in all, more than fits; the last ones travel at the same time."""
    noise = random.Random(2)
    layers = [LayerTar().file(f"noise{n}", noise.randbytes(16 * MEGABYTE)).bytes() for n in range(3)]
    return TestImage([*busybox.layers, *layers], config={"Cmd": ["true"]}, compress="none")


def used(root: str) -> int:
    status = os.statvfs(root)
    return (status.f_blocks - status.f_bfree) * status.f_frsize


@pytest.fixture
def command(small_file_system: Callable[..., str], lamina_on: Callable[..., Lamina]) -> Lamina:
    return lamina_on(f"{small_file_system(SIZE)}/root")


def check_failure(command: Lamina, *arguments: str) -> None:
    """The command fails with one message, and leaves nothing."""
    storage = open_storage(command.root)
    images, layers = storage.images.ids(), {layer.chain_id for layer in storage.layers.all()}
    before = used(command.root)
    done = command.run(*arguments)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    assert "no space left on device" in done.stderr.lower()
    assert "Traceback" not in done.stderr
    assert used(command.root) - before < 256 << 10
    assert storage.images.ids() == images
    assert {layer.chain_id for layer in storage.layers.all()} == layers
    assert not storage.layers.needs_recovery()
    assert storage.again().findings(deep=True) == []


def fill(path: str) -> None:
    """Write to ``path`` until not one more block fits."""
    with open(path, "wb", buffering=0) as file:
        for size in (MEGABYTE, 4096):
            with suppress(OSError):
                while True:
                    file.write(b"x" * size)


def check_works(command: Lamina, busybox_archive: str) -> None:
    command("load", "-i", busybox_archive)
    command("run", "--rm", "--network", "none", "busybox", "true")


def test_load(command: Lamina, busybox_image: TestImage, busybox_archive: str, tmp_path: Path) -> None:
    archive = big_image(busybox_image).docker_archive(str(tmp_path / "big.tar"), "big:1")
    check_failure(command, "load", "-i", archive)
    check_works(command, busybox_archive)


@pytest.mark.registry
def test_pull(
    command: Lamina, busybox_image: TestImage, busybox_archive: str, registry: Callable[..., Registry]
) -> None:
    name = registry().upload(big_image(busybox_image), "some/big", "1")
    check_failure(command, "pull", name)
    check_works(command, busybox_archive)


@pytest.mark.needs("crun")
def test_commit(command: Lamina, busybox_archive: str) -> None:
    """The container's own data fits once, not twice."""
    command("load", "-i", busybox_archive)
    script = f"dd if=/dev/urandom of=/noise bs=1M count={SIZE // 2}"
    command("run", "--name", "big", "--network", "none", "busybox", "sh", "-c", script)
    check_failure(command, "commit", "big", "copy")
    command("rm", "big")
    check_works(command, busybox_archive)


@pytest.mark.needs("crun")
def test_removal_works_on_a_full_disk(command: Lamina, busybox_archive: str) -> None:
    command("load", "-i", busybox_archive)
    command("create", "--name", "idle", "busybox", "true")
    fill(f"{command.root}/../filler")
    check_failure(command, "create", "busybox", "true")
    command("rm", "idle")
    command("rmi", "busybox")
    assert open_storage(command.root).findings() == []


def test_no_inodes(
    small_file_system: Callable[..., str], lamina_on: Callable[..., Lamina], busybox_image: TestImage, tmp_path: Path
) -> None:
    command = lamina_on(f"{small_file_system(SIZE, inodes=600)}/root")
    tar = LayerTar().directory("many")
    for number in range(2000):
        tar.file(f"many/{number}")
    archive = TestImage([*busybox_image.layers, tar.bytes()]).docker_archive(str(tmp_path / "many.tar"), "many:1")
    check_failure(command, "load", "-i", archive)
