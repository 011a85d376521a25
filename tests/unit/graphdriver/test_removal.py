"""Deleting trees that others made."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from lamina.graphdriver.removal import remove_tree
from lamina.linux import mount
from support.rights import as_nobody


def test_an_absent_tree_is_no_error(tmp_path: Path) -> None:
    remove_tree(str(tmp_path / "absent"))
    remove_tree(str(tmp_path / "absent" / "deeper"))


def test_links_are_removed_and_never_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "directory").symlink_to(outside)
    (tree / "file").symlink_to(outside / "kept")
    remove_tree(str(tree))
    assert not tree.exists()
    (tmp_path / "link").symlink_to(outside)
    remove_tree(str(tmp_path / "link"))
    assert (outside / "kept").exists()
    assert not (tmp_path / "link").is_symlink()


def test_directories_that_forbid_everything_are_removed(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "a" / "b").mkdir(parents=True)
    (tree / "a" / "b" / "file").touch()
    for directory in (tree / "a" / "b", tree / "a", tree):
        directory.chmod(0)
    if os.geteuid() == 0:
        as_nobody(tmp_path, lambda: remove_tree(str(tree)))
    else:
        remove_tree(str(tree))
    assert not tree.exists()


def test_a_directory_with_very_many_entries_is_removed(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    descriptor = os.open(tree, os.O_RDONLY)
    for number in range(20_000):
        os.close(os.open(str(number), os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
    os.close(descriptor)
    started = time.monotonic()
    remove_tree(str(tree))
    assert not tree.exists()
    assert time.monotonic() - started < 10


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    (tmp_path / "tree" / "a" / "b").mkdir(parents=True)
    (tmp_path / "tree" / "c").mkdir()
    remove_tree(str(tmp_path / "tree"))
    assert len(os.listdir("/proc/self/fd")) == len(before)


@pytest.mark.root
def test_what_is_mounted_inside_is_unmounted_and_kept(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("kept")
    tree = tmp_path / "tree"
    (tree / "a" / "mounted").mkdir(parents=True)
    mount.bind(str(precious), str(tree / "a" / "mounted"))
    mount.bind(str(precious), str(tree / "a"))
    remove_tree(str(tree))
    assert not tree.exists()
    assert (precious / "file").read_text() == "kept"
    assert mount.mount_points(str(tmp_path)) == []


@pytest.mark.root
def test_what_is_mounted_meanwhile_stops_the_removal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("kept")
    (tmp_path / "tree" / "mounted").mkdir(parents=True)
    mount.bind(str(precious), str(tmp_path / "tree" / "mounted"))
    try:
        monkeypatch.setattr(mount, "mount_points", lambda prefix: [])
        with pytest.raises(OSError, match="cross-device"):
            remove_tree(str(tmp_path / "tree"))
        assert (precious / "file").read_text() == "kept"
    finally:
        mount.unmount(str(tmp_path / "tree" / "mounted"))
