"""Deep stacks and deep trees."""

from __future__ import annotations

import os

import pytest

from lamina.errors import Unsupported
from lamina.graphdriver import overlayfs
from lamina.graphdriver.contract import GraphDriver
from lamina.graphdriver.overlay2 import driver
from lamina.linux import mount
from support.mounts import mounts_below
from support.stacks import Stacks, read, write


def deep_directory(root: str, depth: int) -> None:
    """A chain of directories that no path can name, with a file at its end."""
    descriptor = os.open(root, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=descriptor)
        child = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = child
    os.close(os.open("end", os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=descriptor))
    os.close(descriptor)


def depth_of(root: str) -> tuple[int, list[str]]:
    """How deep the chain goes, and what is at its end."""
    descriptor, depth = os.open(root, os.O_RDONLY), 0
    while "d" in (names := os.listdir(descriptor)):
        child = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor, depth = child, depth + 1
    os.close(descriptor)
    return depth, names


def fill(driver: GraphDriver, count: int) -> str:
    """A stack of ``count`` layers: each has a file of its own, changes ``common`` and deletes the file below it."""
    parent = None
    for number in range(count):
        layer = f"layer{number}"
        driver.create(layer, parent)
        diff = driver.diff_path(layer)
        write(f"{diff}/{number}", str(number))
        write(f"{diff}/common", str(number))
        if number % 2 and os.geteuid() == 0:
            os.mknod(f"{diff}/{number - 1}", 0o020000, 0)
        parent = layer
    assert parent is not None
    return parent


def test_a_file_is_readable_under_128_layers(stacks: Stacks) -> None:
    top = stacks.layer(None, lambda root: write(f"{root}/bottom", "deep"))
    for number in range(127):
        below, top = top, stacks.new_id()
        stacks.driver.create(top, below)
        write(f"{stacks.driver.diff_path(top)}/{number}")
    with stacks.container(top) as root:
        assert read(f"{root}/bottom") == "deep"
        assert len(os.listdir(root)) == 128
        write(f"{root}/bottom", "changed")


def test_a_tree_of_5000_directories_is_copied_and_removed(stacks: Stacks) -> None:
    layer = stacks.layer(None, lambda root: deep_directory(root, 5000))
    top = stacks.new_id()
    stacks.driver.create(top, layer)
    with stacks.mounted(top, read_only=True) as root:
        assert depth_of(root) == (5000, ["end"])
    stacks.driver.remove(top)
    stacks.driver.remove(layer)
    assert list(stacks.driver.ids()) == []


@pytest.mark.root
@pytest.mark.parametrize("count", [498, 499, 500, 501])
def test_500_layers_mount_on_overlay2_with_a_container_on_top(overlay2: GraphDriver, count: int) -> None:
    top = fill(overlay2, count)
    overlay2.create("container-init", top)
    overlay2.create_read_write("container", "container-init")
    assert len(overlay2.parent_ids("container")) == count + 1
    for options in ({"read_only": True}, {"volatile": True}, {}):
        root = overlay2.mount("container", **options)
        shown = set(os.listdir(root))
        last_deleted = count - 1 - (count % 2)
        assert shown == {"common"} | {str(n) for n in range(count) if n % 2 or n > last_deleted}
        assert read(f"{root}/common") == str(count - 1)
        assert len(mounts_below(overlay2.home)) == 1
        overlay2.unmount("container")
        assert mounts_below(overlay2.home) == []


@pytest.mark.root
def test_a_group_of_layers_works_where_only_attached_mounts_can_be_layers(
    overlay2: GraphDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(context: mount.FileSystemContext, key: str, descriptor: int) -> None:
        raise OSError(22, "as before Linux 6.13")

    monkeypatch.setattr(mount.FileSystemContext, "set_descriptor", refuse)
    top = fill(overlay2, 505)
    overlay2.create_read_write("container", top)
    root = overlay2.mount("container")
    assert read(f"{root}/504") == "504"
    assert read(f"{root}/1") == "1"
    assert len(mounts_below(overlay2.home)) == 1
    overlay2.unmount("container")
    assert sorted(os.listdir(overlay2.home)) == sorted([*overlay2.ids(), "l"])


@pytest.mark.root
def test_more_layers_than_overlayfs_can_show_are_refused_before_anything_is_made(
    overlay2: GraphDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "MAXIMUM_LOWERS", 5)
    top = fill(overlay2, 5)
    overlay2.create("last", top)
    with pytest.raises(Unsupported, match="max depth exceeded"):
        overlay2.create("beyond", "last")
    assert not overlay2.exists("beyond")


@pytest.mark.root
@pytest.mark.parametrize("count", [2, 128])
def test_mount_2_serves_where_the_descriptor_calls_are_missing(
    overlay2: GraphDriver, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    def missing(kind: str) -> mount.FileSystemContext:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(mount, "FileSystemContext", missing)
    top = fill(overlay2, count - 1)
    overlay2.create("init", top)
    overlay2.create_read_write("container", "init")
    for options in ({}, {"read_only": True}, {"volatile": True}):
        root = overlay2.mount("container", **options)
        assert read(f"{root}/common") == str(count - 2)
        overlay2.unmount("container")
    assert mounts_below(overlay2.home) == []


@pytest.mark.root
@pytest.mark.parametrize("name", ["with space", "co:lon,comma", "back\\slash", "x" * 200])
def test_the_root_may_have_any_name(tmp_path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    from lamina.graphdriver.overlay2 import Overlay2Driver

    root = tmp_path / name
    root.mkdir()
    for descriptors in (True, False):
        if not descriptors:
            monkeypatch.setattr(overlayfs, "detached", _not_implemented)
        driver = Overlay2Driver(str(root))
        top = fill(driver, 3)
        driver.create_read_write("container", top)
        merged = driver.mount("container")
        write(f"{merged}/new")
        assert read(f"{merged}/common") == "2"
        for layer in list(driver.ids()):
            driver.remove(layer)
        assert mounts_below(str(root)) == []


def _not_implemented(overlay: overlayfs.Overlay) -> int:
    raise OSError(38, "Function not implemented")
