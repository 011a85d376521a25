"""A process that dies right before any of its changes on disk leaves the state before or the state after; an error in
place of the change leaves the state before."""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from lamina.atomicfile import TEMPORARY_PREFIX
from lamina.container import initlayer
from lamina.distribution import originals
from lamina.distribution.load import load
from lamina.distribution.stores import Stores
from lamina.engine import Engine
from lamina.image.removal import remove
from lamina.oci import manifest as manifests
from lamina.oci.manifest import Manifest
from lamina.owners import SAME
from lamina.reference import parse_tagged
from support.images import LayerTar, TestImage
from support.mounts import memory_file_system
from support.storage import (
    CHANGING,
    GROWING,
    KILLED,
    REFUSED,
    SYNCING,
    Fault,
    Storage,
    add_image,
    in_child,
    open_storage,
)

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
    with storage.layers.container_operation(CONTAINER):
        storage.layers.create_writable(CONTAINER, image.config.chain_id, initlayer.skeleton(SAME))
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


def write_archive(storage: Storage) -> None:
    storage.add(sibling_image(), "sibling", "first:1")
    small_image().docker_archive(f"{storage.path}.tar", "first:1", "second:1")


def load_archive(storage: Storage) -> None:
    """Two names, of which one is another image's."""
    load(f"{storage.path}.tar", Stores(storage.root, storage.layers, storage.images))


OPERATIONS = {
    "add an image": Operation(lambda storage: None, lambda storage: storage.add(small_image(), "small")),
    "add a sibling": Operation(
        lambda storage: storage.add(sibling_image(), "sibling"), lambda storage: storage.add(small_image(), "small")
    ),
    "load an archive": Operation(write_archive, load_archive),
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


def unfinished(storage: Storage) -> list[str]:
    """Files that were being written."""
    return [name for _, _, names in os.walk(storage.path) for name in names if name.startswith(TEMPORARY_PREFIX)]


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


def faults(code: int | None = None, names: Sequence[str] = CHANGING) -> Iterator[tuple[int, Fault]]:
    """One for each change that an operation makes, with its number; at least four."""
    for number in itertools.count(1):
        fault = Fault(number, code, names)
        yield number, fault
        if not fault.happened:
            assert number > 4
            return


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
    for number, fault in faults():
        storage = open_storage(f"{memory}/{number}", driver)
        operation.prepare(storage)
        status = in_child(lambda: operation.run(storage.again()), fault)  # noqa: B023 - used at once
        assert status == (KILLED if fault.happened else 0)
        recovered = storage.again()
        assert recovered.findings(deep=True) == [], f"after death at change {number}"
        assert unfinished(recovered) == [], f"after death at change {number}"
        assert state(recovered) in (before, after), f"after death at change {number}"
        check_contents(recovered)
        if state(recovered) == before:
            operation.run(recovered)
            assert state(recovered) == after
        assert recovered.findings() == []


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize(
    ("driver", "code"), [("overlay2", errno.ENOSPC), ("overlay2", errno.EIO), ("vfs", errno.EIO)], ids=str
)
def test_an_error_at_any_change_is_told_and_leaves_nothing(name: str, driver: str, code: int, memory: str) -> None:
    """A full disk changes nothing. A removal goes on where it was, and so does what a broken disk may have written."""
    operation = OPERATIONS[name]
    names = GROWING if code == errno.ENOSPC else (*CHANGING, *SYNCING, "read")
    finished = open_storage(f"{memory}/finished", driver)
    operation.prepare(finished)
    before = state(finished)
    operation.run(finished)
    after = state(finished)
    undone = (before,) if code == errno.ENOSPC and not name.startswith("remove") else (before, after)
    for number, fault in faults(code, names):
        storage = open_storage(f"{memory}/{number}", driver)
        operation.prepare(storage)
        status = in_child(lambda: operation.run(storage.again()), fault)  # noqa: B023 - used at once
        assert status in (0, REFUSED), f"at change {number}"
        again = storage.again()
        assert again.findings(deep=True) == [], f"after an error at change {number}"
        assert unfinished(again) == [], f"after an error at change {number}"
        assert state(again) in ((after,) if not status else undone), f"after an error at change {number}"


def test_what_was_kept_for_an_image_goes_when_it_does(memory: str) -> None:
    """A pull that dies between the manifest and the names, and a removal that dies between image and manifest."""
    storage = open_storage(f"{memory}/root", "vfs")
    test_image = small_image()
    manifest = manifests.parse(test_image.manifest, test_image.manifest_media_type, "test")
    assert isinstance(manifest, Manifest)

    def die_in_pull() -> None:
        with storage.layers.operation():
            image = add_image(storage, test_image)
            originals.keep_manifest(storage.root, image.id, manifest)
            os._exit(KILLED)

    def die_in_removal() -> None:
        originals.prune = lambda stores: os._exit(KILLED)  # type: ignore[assignment]  # of this child
        Engine(storage.path, storage_driver="vfs").images.remove("small")

    assert in_child(die_in_pull) == KILLED
    assert Engine(storage.path, storage_driver="vfs").check().findings == []
    image = storage.again().add(test_image, "small")
    originals.keep_manifest(storage.root, image.id, manifest)
    assert in_child(die_in_removal) == KILLED
    assert Engine(storage.path, storage_driver="vfs").check().findings == []
