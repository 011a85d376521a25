"""What is done in a container's root from outside stays in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lamina.container import initlayer, rootfs
from lamina.container.rootfs import HostileRoot, NotADirectory
from lamina.layer import skeleton
from lamina.owners import SAME


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    root = tmp_path / "root"
    root.mkdir()
    descriptor = rootfs.open_root(str(root))
    yield root, descriptor
    os.close(descriptor)


def test_missing_directories_are_made(tree: tuple[Path, int]) -> None:
    root, descriptor = tree
    assert rootfs.make_directories(descriptor, "/a/./b//c/") == "/a/b/c"
    assert (root / "a/b/c").is_dir()


def test_links_are_followed_inside_the_root(tree: tuple[Path, int], tmp_path: Path) -> None:
    root, descriptor = tree
    (root / "real").mkdir()
    (root / "link").symlink_to("/real")
    (root / "up").symlink_to("../../../../outside")
    assert rootfs.make_directories(descriptor, "/link/sub") == "/real/sub"
    assert rootfs.make_directories(descriptor, "/up/x") == "/outside/x"
    assert rootfs.make_directories(descriptor, "/link/../up/../y") == "/y"
    assert sorted(os.listdir(tmp_path)) == ["root"]
    assert (root / "outside/x").is_dir()


def test_a_loop_of_links_ends(tree: tuple[Path, int]) -> None:
    root, descriptor = tree
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")
    with pytest.raises(OSError, match="Too many levels"):
        rootfs.make_directories(descriptor, "/a/x")


def test_a_file_in_the_way_is_dockers_error(tree: tuple[Path, int]) -> None:
    root, descriptor = tree
    (root / "file").write_text("")
    with pytest.raises(NotADirectory, match="Cannot mkdir: /file is not a directory"):
        rootfs.check_working_directory(descriptor, "/file")


@pytest.mark.parametrize("path", ["/proc/self/fd/7", "/proc/self/fd/../fd/8", "/link", "/link/x", "/deep/link2"])
def test_a_working_directory_below_proc_is_refused(tree: tuple[Path, int], path: str) -> None:
    root, descriptor = tree
    (root / "proc").mkdir()
    (root / "deep").mkdir()
    (root / "link").symlink_to("/proc/self/fd/7")
    (root / "deep/link2").symlink_to("../link")
    with pytest.raises(HostileRoot, match="leads into /proc"):
        rootfs.check_working_directory(descriptor, path)
    assert os.listdir(root / "proc") == []


@pytest.mark.parametrize("name", ["dev", "proc", "sys"])
def test_a_root_with_links_for_mount_points_is_refused(tree: tuple[Path, int], tmp_path: Path, name: str) -> None:
    root, descriptor = tree
    (root / name).symlink_to(tmp_path)
    with pytest.raises(HostileRoot, match=f"/{name} of the container is not a directory"):
        rootfs.require_plain(descriptor)


def test_the_init_layer_has_dockers_files(tree: tuple[Path, int]) -> None:
    root, _ = tree
    skeleton.make(initlayer.skeleton(SAME), str(root))
    found = sorted(str(path.relative_to(root)) for path in root.rglob("*"))
    assert found == [
        ".dockerenv",
        "dev",
        "dev/console",
        "dev/pts",
        "dev/shm",
        "etc",
        "etc/hostname",
        "etc/hosts",
        "etc/mtab",
        "etc/resolv.conf",
        "proc",
        "sys",
    ]
    assert (root / "etc/mtab").readlink() == Path("/proc/mounts")
    assert (root / "dev/console").stat().st_mode & 0o777 == 0o755


def test_the_init_layer_replaces_links_instead_of_following_them(tree: tuple[Path, int], tmp_path: Path) -> None:
    root, _ = tree
    outside = tmp_path / "outside"
    outside.mkdir()
    for name in ("etc", "dev", "proc", "sys"):
        (root / name).symlink_to(outside)
    (root / ".dockerenv").symlink_to(outside / "victim")
    skeleton.make(initlayer.skeleton(SAME), str(root))
    assert list(outside.iterdir()) == []
    assert all((root / name).is_dir() and not (root / name).is_symlink() for name in ("etc", "dev", "proc", "sys"))


def test_the_init_layer_leaves_a_directory_that_an_image_has_for_a_file(tree: tuple[Path, int]) -> None:
    root, _ = tree
    (root / "etc/hosts").mkdir(parents=True)
    (root / "etc/hosts/inside").write_text("")
    skeleton.make(initlayer.skeleton(SAME), str(root))
    assert (root / "etc/hosts/inside").exists()
