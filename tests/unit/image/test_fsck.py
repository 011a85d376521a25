"""Damage that a store meets: it is named where it is met, listed by the check, and mended without losing anything."""

from __future__ import annotations

import builtins
import errno
import fcntl
import os
import shutil
import time
from collections.abc import Callable
from typing import Any

import pytest

from lamina.digest import ChainID
from lamina.errors import Corrupt
from lamina.graphdriver.contract import Skeleton
from lamina.image.fsck import fsck
from lamina.image.removal import remove
from support.images import LayerTar, TestImage
from support.storage import KILLED, Storage, add_image, in_child

TARS = [LayerTar().directory("d").file(f"d/{name}", name * 500).bytes() for name in "abc"]
IMAGE = TestImage(TARS)
OTHER = TestImage([*TARS[:1], LayerTar().file("other").bytes()])


def layer_path(storage: Storage, number: int, name: str = "") -> str:
    return os.path.join(storage.layers.workshop.database.path(ChainID(IMAGE.chain_ids[number])), name)


def truncate(path: str) -> None:
    with open(path, "w"):
        pass


def check_contents(storage: Storage) -> None:
    image = storage.images.resolve("name")
    stack = storage.layers.stack(image.config.chain_id)
    assert [b"".join(storage.layers.tar(layer)) for layer in stack] == TARS
    with storage.layers.mounted_image(image.config.chain_id) as path:
        assert sorted(os.listdir(f"{path}/d")) == ["a", "b", "c"]


@pytest.mark.parametrize("destroy", [truncate, os.unlink])
@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("name", ["cache-id", "diff", "size", "parent"])
def test_a_lost_metadata_file_is_named_and_mended(
    storage: Storage, name: str, number: int, destroy: Callable[[str], None]
) -> None:
    if name == "parent" and number == 0:
        pytest.skip("the bottom layer has none")
    storage.add(IMAGE, "name")
    destroy(layer_path(storage, number, name))
    with pytest.raises(Corrupt, match=r"damaged: its .*'lamina system fsck' tells more"):
        storage.layers.stack(storage.images.resolve("name").config.chain_id)
    assert storage.findings()
    report = fsck(storage.images, repair=True)
    assert report.is_clean
    assert storage.findings(deep=True) == []
    check_contents(storage)


def test_all_small_files_at_once_can_be_mended(storage: Storage) -> None:
    storage.add(IMAGE, "name")
    for number in range(3):
        truncate(layer_path(storage, number, "cache-id"))
        truncate(layer_path(storage, number, "size"))
    fsck(storage.images, repair=True)
    assert storage.findings(deep=True) == []
    check_contents(storage)


def test_what_a_damaged_layer_may_need_is_never_deleted(storage: Storage) -> None:
    """Neither its directory nor what proves it can be found any more: it is named, and nothing goes."""
    storage.add(IMAGE, "name")
    before = sorted(storage.layers.driver.ids())
    truncate(layer_path(storage, 2, "cache-id"))
    os.unlink(layer_path(storage, 2, "tar-split.json.gz"))
    report = fsck(storage.images, repair=True)
    assert not report.is_clean
    assert sorted(storage.layers.driver.ids()) == before


@pytest.mark.parametrize("name", ["mount-id", "parent", ""])
def test_what_a_damaged_container_may_need_is_never_deleted(storage: Storage, name: str) -> None:
    image = storage.add(IMAGE, "name")
    mounted = storage.layers.create_writable("d" * 64, image.config.chain_id)
    storage.layers.settle("d" * 64)
    container_without_configuration(storage)
    truncate(storage.root.sub("containers", "d" * 64, "config.v2.json"))
    path = f"{storage.layers.workshop.database.mounts}/{'d' * 64}"
    if name:
        truncate(f"{path}/{name}")
    else:
        shutil.rmtree(path)
    assert not fsck(storage.images, repair=True).is_clean
    assert storage.layers.driver.exists(mounted.mount_id)


@pytest.mark.parametrize("read", ["image", "layer"])
def test_nothing_goes_while_the_disk_does_not_say_what_is_needed(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, read: str
) -> None:
    storage.add(IMAGE, "name")

    def die() -> None:
        add_image(storage, OTHER)
        with storage.layers.operation():
            os._exit(KILLED)

    assert in_child(die) == KILLED
    before = [layer.chain_id for layer in storage.layers.all()]
    with monkeypatch.context() as patch:
        if read == "image":
            patch.setattr(builtins, "open", failing(open, IMAGE.image_id.removeprefix("sha256:")))
        else:
            patch.setattr(os, "open", failing(os.open, layer_path(storage, 2, "parent")))
        other = storage.again()
        assert any("can't be read" in line for line in other.findings())
        fsck(other.images, repair=True)
    assert [layer.chain_id for layer in storage.layers.all()] == before
    assert storage.again().findings(deep=True) == []
    check_contents(storage)


def failing(function: Callable[..., Any], end: str) -> Callable[..., Any]:
    """The same function for all paths but one, which the disk has lost."""

    def call(path: Any, *arguments: Any, **options: Any) -> Any:
        if isinstance(path, str) and path.endswith(end):
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        return function(path, *arguments, **options)

    return call


def test_a_layer_without_the_one_below_it_is_named(storage: Storage) -> None:
    storage.add(IMAGE, "name")
    shutil.rmtree(layer_path(storage, 1))
    kinds = {finding.kind for finding in fsck(storage.images).findings}
    assert "missing" in kinds
    fsck(storage.images, repair=True)
    assert storage.names().keys() == {"name:latest"}


def test_changed_content_is_found_by_a_deep_check(storage: Storage) -> None:
    storage.add(IMAGE, "name")
    layer = storage.layers.get(ChainID(IMAGE.chain_ids[0]))
    with open(f"{storage.layers.driver.diff_path(layer.cache_id)}/d/a", "w") as file:
        file.write("b" * 500)
    assert storage.findings() == []
    (finding,) = storage.findings(deep=True)
    assert "file integrity checksum failed for 'd/a'" in finding


def test_a_file_that_grew_is_found_by_a_deep_check(storage: Storage) -> None:
    storage.add(IMAGE, "name")
    layer = storage.layers.get(ChainID(IMAGE.chain_ids[0]))
    with open(f"{storage.layers.driver.diff_path(layer.cache_id)}/d/a", "a") as file:
        file.write("more")
    (finding,) = storage.findings(deep=True)
    assert "file integrity checksum failed for 'd/a': it has grown" in finding


def test_a_repair_counts_a_file_with_two_names_once(storage: Storage) -> None:
    storage.add(IMAGE, "name")
    storage.layers.driver.create("f" * 64, None)
    place = storage.layers.driver.diff_path("f" * 64)
    with open(f"{place}/file", "wb") as file:
        file.write(bytes(1000))
    os.link(f"{place}/file", f"{place}/link")
    assert fsck(storage.images, repair=True).reclaimed == 1000


def test_a_finding_does_not_send_to_the_check_that_made_it(storage: Storage) -> None:
    storage.add(IMAGE, "name")
    truncate(storage.images.database.path(storage.images.resolve("name").id))
    assert not [finding for finding in storage.findings() if "tells more" in finding]


def orphan_directory(storage: Storage) -> None:
    storage.layers.driver.create("f" * 64, None)


def unneeded_layer(storage: Storage) -> None:
    storage.add(OTHER)
    storage.images.delete(storage.images.resolve(OTHER.image_id).id)


def dangling_name(storage: Storage) -> None:
    storage.add(OTHER, "other")
    storage.images.delete(storage.images.resolve("other").id)


def metadata_without_image(storage: Storage) -> None:
    os.mkdir(f"{storage.images.database.metadata}/{'a' * 64}")


def unfinished_file(storage: Storage) -> None:
    truncate(f"{storage.images.database.content}/.tmp-{'a' * 64}1.0")


def unfinished_layer(storage: Storage) -> None:
    os.mkdir(f"{storage.layers.workshop.database.temporary}/write-set-123")


def dockerd_removing(storage: Storage) -> None:
    storage.layers.driver.create("e" * 64, None)
    directory = f"{storage.layers.workshop.database.layers}/{'a' * 64}-{'e' * 64}-removing"
    os.mkdir(directory)
    with open(f"{directory}/cache-id", "w") as file:
        file.write("e" * 64)


def changed_configuration(storage: Storage) -> None:
    storage.add(OTHER, "other")
    with open(storage.images.database.path(storage.images.resolve("other").id), "ab") as file:
        file.write(b" ")


def lost_parent(storage: Storage) -> None:
    storage.add(OTHER, "other")
    path = storage.images.database.metadata_path(storage.images.resolve("other").id)
    with open(f"{path}/parent", "w") as file:
        file.write("sha256:" + "9" * 64)


def writable_without_container(storage: Storage) -> None:
    storage.layers.create_writable("d" * 64, storage.images.resolve("name").config.chain_id)
    storage.layers.settle("d" * 64)


def container_without_configuration(storage: Storage) -> None:
    os.mkdir(storage.root.sub("containers", "d" * 64))


def old(path: str) -> str:
    """The same path, last changed two minutes ago."""
    os.utime(path, (time.time() - 120,) * 2)
    return path


def abandoned_trial(storage: Storage) -> None:
    os.makedirs(storage.root.sub("check-overlayfs-support123", "lower"))
    old(storage.root.sub("check-overlayfs-support123"))


def unfinished_temporary_file(storage: Storage) -> None:
    truncate(storage.root.sub("tmp/GetImageBlob123"))
    old(storage.root.sub("tmp/GetImageBlob123"))


@pytest.mark.parametrize(
    "damage",
    [
        abandoned_trial,
        unfinished_temporary_file,
        orphan_directory,
        unneeded_layer,
        dangling_name,
        metadata_without_image,
        unfinished_file,
        unfinished_layer,
        dockerd_removing,
        changed_configuration,
        lost_parent,
        writable_without_container,
        container_without_configuration,
    ],
)
def test_what_nothing_needs_is_found_and_reclaimed(storage: Storage, damage: Callable[[Storage], None]) -> None:
    storage.add(IMAGE, "name")
    directories = sorted(storage.layers.driver.ids())
    damage(storage)
    assert storage.findings()
    assert storage.findings() == storage.findings(), "a check changes nothing"
    assert fsck(storage.images, repair=True).is_clean
    assert storage.findings(deep=True) == []
    check_contents(storage)
    if damage is not lost_parent:
        assert sorted(storage.layers.driver.ids()) == directories


def test_operations_that_run_are_left_alone(storage: Storage) -> None:
    other = storage.again()
    with storage.layers.begin() as transaction:
        staged = transaction.stage(None)
        job = staged.unpack()
        assert other.findings(repair=True) == []
        job.feed(TARS[0])
        job.finish()
        transaction.commit()
        assert other.findings(repair=True) == []
    assert len(other.findings()) == 1  # the layer that no image got


def test_a_damaged_writable_layer_can_be_removed(storage: Storage) -> None:
    image = storage.add(IMAGE, "name")
    mounted = storage.layers.create_writable("d" * 64, image.config.chain_id)
    truncate(f"{storage.layers.workshop.database.mounts}/{'d' * 64}/parent")
    with pytest.raises(Corrupt, match="writable layer of container"):
        storage.layers.writable("d" * 64)
    storage.layers.remove_writable("d" * 64)
    assert not storage.layers.driver.exists(mounted.mount_id)
    assert storage.findings() == []


@pytest.mark.parametrize("content", ["", "e" * 20, "\x80\xff/..", "other"])
@pytest.mark.parametrize("name", ["mount-id", "init-id", "parent"])
def test_the_removal_of_a_damaged_writable_layer_takes_it_and_no_other(
    storage: Storage, name: str, content: str
) -> None:
    image = storage.add(IMAGE, "name")
    own, other = (
        storage.layers.create_writable(id * 64, image.config.chain_id, Skeleton(("etc",), (), (), None))
        for id in ("d", "f")
    )
    for id in ("d" * 64, "f" * 64):
        storage.layers.settle(id)
        os.makedirs(storage.root.sub("containers", id))
        truncate(storage.root.sub("containers", id, "config.v2.json"))
    text = {"mount-id": other.mount_id, "init-id": other.init_id}.get(name, "") if content == "other" else content
    path = f"{storage.layers.workshop.database.mounts}/{'d' * 64}"
    with open(f"{path}/{name}", "w") as file:
        file.write(text)
    with pytest.raises(Corrupt, match=rf"damaged: its .* in {path}; 'lamina rm -f d{{64}}' removes the container"):
        storage.layers.writable("d" * 64)
    assert any("lamina rm -f" in line for line in storage.findings(repair=True))
    os.unlink(storage.root.sub("containers", "d" * 64, "config.v2.json"))
    os.rmdir(storage.root.sub("containers", "d" * 64))
    storage.layers.remove_writable("d" * 64)
    assert not storage.layers.driver.exists(own.mount_id)
    assert not storage.layers.driver.exists(own.init_id)
    assert storage.layers.writable("f" * 64) == other
    assert storage.findings(deep=True) == []
    check_contents(storage)


def test_temporary_files_in_use_are_left_alone(storage: Storage) -> None:
    truncate(storage.root.sub("tmp/new"))
    truncate(storage.root.sub("tmp/locked"))
    with open(old(storage.root.sub("tmp/locked"))) as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        assert storage.findings(repair=True) == []
    assert sorted(os.listdir(storage.root.sub("tmp"))) == ["locked", "new"]


def build_cache(storage: Storage, *ids: str) -> None:
    """What a dockerd's BuildKit leaves on the root: a database that names the layers that it keeps."""
    os.makedirs(storage.root.sub("buildkit"), exist_ok=True)
    with open(storage.root.sub("buildkit/snapshots.db"), "wb") as file:
        file.write(b"\0\1parents" + b"\2".join(id.encode() for id in ids) + b"\0")


def test_what_dockers_build_cache_keeps_is_not_reclaimed(storage: Storage) -> None:
    own = "k3q5x9zj2m1v8b7n6c4d0f1ga"
    storage.layers.driver.create(own, None)
    assert len(storage.findings()) == 1
    build_cache(storage, own)
    assert storage.findings(repair=True) == []
    assert own in storage.layers.driver.ids()


def test_layers_of_removed_images_stay_while_dockers_build_cache_keeps_them(storage: Storage) -> None:
    storage.add(IMAGE, "name")
    middle = storage.layers.get(ChainID(IMAGE.chain_ids[1]))
    build_cache(storage, middle.cache_id)
    remove(storage.images, storage.layers, "name")
    assert sorted(storage.layers.all()) == sorted(storage.layers.stack(middle.chain_id))
    assert storage.findings(repair=True) == []
    build_cache(storage)
    assert len(storage.findings()) == 2
    storage.findings(repair=True)
    assert list(storage.layers.all()) == []
