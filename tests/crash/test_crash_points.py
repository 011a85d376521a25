"""A process that dies right before any of its changes on disk leaves the state before or the state after."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from lamina.image.removal import remove
from lamina.reference import parse_tagged
from support.images import LayerTar, TestImage
from support.mounts import memory_file_system
from support.storage import DIED, Storage, in_child, open_storage

pytestmark = [pytest.mark.crash, pytest.mark.root]

CONTAINER = "c0" * 32


def small_image() -> TestImage:
    base = LayerTar().directory("data").file("data/a", "a" * 2000).symlink("data/link", "a")
    return TestImage([base.bytes(), LayerTar().whiteout("data/a").file("b", "b").bytes()])


def sibling_image() -> TestImage:
    """Shares its bottom layer with :func:`small_image`."""
    return TestImage([small_image().layers[0], LayerTar().file("c", "c").bytes()])


class Operation(NamedTuple):
    """What is interrupted, and what has to be there before it."""

    prepare: Callable[[Storage], object]
    run: Callable[[Storage], object]


def publish_container(storage: Storage) -> None:
    """Put the file in place that makes a container exist."""
    directory = storage.root.sub("containers", CONTAINER)
    os.mkdir(directory)
    with open(f"{directory}/config.v2.json.new", "w") as file:
        file.write("{}")
    os.rename(f"{directory}/config.v2.json.new", f"{directory}/config.v2.json")


def create_container(storage: Storage) -> None:
    image = storage.images.resolve("small")

    def initialise(path: str) -> None:
        os.mkdir(f"{path}/dev")

    with storage.layers.container_operation(CONTAINER):
        storage.layers.create_writable(CONTAINER, image.config.chain_id, initialise)
        publish_container(storage)
    storage.layers.settle(CONTAINER)


def remove_container(storage: Storage) -> None:
    with storage.layers.container_operation(CONTAINER):
        os.unlink(storage.root.sub("containers", CONTAINER, "config.v2.json"))
        storage.layers.remove_writable(CONTAINER)
        os.rmdir(storage.root.sub("containers", CONTAINER))


def with_container(storage: Storage) -> None:
    storage.add(small_image(), "small")
    create_container(storage)


OPERATIONS = {
    "add an image": Operation(lambda storage: None, lambda storage: storage.add(small_image(), "small")),
    "add a sibling": Operation(
        lambda storage: storage.add(sibling_image(), "sibling"), lambda storage: storage.add(small_image(), "small")
    ),
    "move a name": Operation(
        lambda storage: (storage.add(small_image(), "small"), storage.add(sibling_image(), "other")),
        lambda storage: storage.images.tag(storage.images.resolve("other").id, parse_tagged("small")),
    ),
    "remove an image": Operation(
        lambda storage: (storage.add(small_image(), "small"), storage.add(sibling_image(), "sibling")),
        lambda storage: remove(storage.images, storage.layers, "small"),
    ),
    "create a container": Operation(lambda storage: storage.add(small_image(), "small"), create_container),
    "remove a container": Operation(with_container, remove_container),
}


def state(storage: Storage) -> tuple[object, ...]:
    return (
        storage.names(),
        sorted(storage.images.ids()),
        sorted(storage.layers.writables()),
        sorted(layer.chain_id for layer in storage.layers.all()),
        storage.root.has_container(CONTAINER),
    )


def check_contents(storage: Storage) -> None:
    """Every image can be used, every container mounted."""
    for image in storage.images.all():
        with storage.layers.mounted_image(image.config.chain_id) as path:
            assert os.listdir(path)
    for container_id in storage.layers.writables():
        assert "b" in os.listdir(storage.layers.mount(container_id))
        storage.layers.unmount(container_id)


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[str]:
    """A folder on a file system that syncs at once."""
    with memory_file_system(str(tmp_path / "memory")) as path:
        yield path


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("driver", ["overlay2", "vfs"])
def test_death_before_any_change_leaves_the_state_before_or_after(name: str, driver: str, memory: str) -> None:
    operation = OPERATIONS[name]
    finished = open_storage(f"{memory}/finished", driver)
    operation.prepare(finished)
    before = state(finished)
    operation.run(finished)
    after = state(finished)
    assert before != after
    for number in itertools.count(1):
        storage = open_storage(f"{memory}/{number}", driver)
        operation.prepare(storage)
        status = in_child(lambda: operation.run(storage.again()), die_at=number)  # noqa: B023 - used at once
        recovered = storage.again()
        assert recovered.findings(deep=True) == [], f"after death at change {number}"
        assert state(recovered) in (before, after), f"after death at change {number}"
        check_contents(recovered)
        if state(recovered) == before:
            operation.run(recovered)
            assert state(recovered) == after
        assert recovered.findings() == []
        if status != DIED:
            assert status == 0
            assert number > 10
            return
