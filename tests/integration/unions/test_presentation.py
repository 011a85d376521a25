"""Mounts that show other owners, links and attributes than the layers have, and our mount as ``fuse-overlayfs``."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lamina.unionfs import fuse, grammar
from support.mounts import unmount_all

pytestmark = pytest.mark.root

Mount = Callable[..., Path]


@pytest.fixture
def layers(tmp_path: Path) -> Path:
    for name in ("lower/dir/sub", "upper", "work", "merged"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "lower/file").write_text("lower")
    (tmp_path / "lower/large").write_bytes(b"x" * (6 << 20))
    os.chown(tmp_path / "lower/large", 3, 4)
    return tmp_path


@pytest.fixture
def mount(layers: Path) -> Iterator[Mount]:
    def mount(*words: str) -> Path:
        directories = f"lowerdir={layers}/lower,upperdir={layers}/upper,workdir={layers}/work"
        fuse.mount_in_background(grammar.parse(",".join((directories, *words))), f"{layers}/merged")
        return layers / "merged"

    try:
        yield mount
    finally:
        unmount_all(str(layers))


def owner(path: Path) -> tuple[int, int]:
    status = path.lstat()
    return status.st_uid, status.st_gid


def test_everything_belongs_to_whom_it_is_squashed_to(mount: Mount, layers: Path) -> None:
    merged = mount("squash_to_root", "squash_to_gid=9")
    assert {entry.name: (entry.stat().st_uid, entry.stat().st_gid) for entry in os.scandir(merged)} == {
        "dir": (0, 9),
        "file": (0, 9),
        "large": (0, 9),
    }
    os.chown(merged / "file", 5, 6)
    assert owner(merged / "file") == (0, 9)
    assert owner(layers / "upper/file") == (5, 6)


def test_mapped_owners_are_shown_and_stored(mount: Mount, layers: Path) -> None:
    merged = mount("uidmapping=0:1000:10", "gidmapping=0:2000:10")
    assert [owner(merged / name) for name in ("file", "large", "dir")] == [(1000, 2000), (1003, 2004), (1000, 2000)]
    os.chown(merged / "large", 1005, -1)  # copied by another thread first: the request is answered later
    assert owner(merged / "large") == (1005, 2004)
    assert owner(layers / "upper/large") == (5, 4)
    with pytest.raises(OSError, match="too large"):
        os.chown(merged / "file", 5, 5)
    with pytest.raises(OSError, match="too large"):
        (merged / "by root, who is not mapped").touch()
    subprocess.run(
        ["setpriv", "--reuid=1000", "--regid=2000", "--clear-groups", "touch", "new"], cwd=merged, check=True
    )
    assert owner(merged / "new") == (1000, 2000)
    assert owner(layers / "upper/new") == (0, 0)


def test_directories_have_one_link(mount: Mount) -> None:
    merged = mount("static_nlink")
    (merged / "new/inside").mkdir(parents=True)
    assert [(merged / name).stat().st_nlink for name in ("", "dir", "new", "file")] == [1, 1, 1, 1]


def test_attributes_are_not_for_users(mount: Mount, layers: Path) -> None:
    os.setxattr(layers / "lower/file", "user.kept", b"1")
    merged = mount("noxattrs=1")
    with pytest.raises(OSError, match="not supported"):
        os.setxattr(merged / "file", "user.new", b"1")
    with pytest.raises(OSError, match="not supported"):
        os.listxattr(merged / "file")


def test_the_program_takes_fuse_overlayfs_arguments(layers: Path) -> None:
    (layers / "upper/.wh.file").touch()
    command = [sys.executable, "-m", "lamina.cli.fuse_overlayfs"]
    said = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True).stdout
    assert said.startswith("fuse-overlayfs: ")
    try:
        done = subprocess.run(
            [*command, "-o", "debug,lowerdir=lower,upperdir=upper,workdir=work", "-o", "fsync=0", "merged"],
            cwd=layers,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "unknown argument ignored: debug\n")
        assert sorted(os.listdir(layers / "merged")) == ["dir", "large"]
        assert (layers / "merged/dir").stat().st_nlink == 3
        (layers / "merged/file").write_text("new")
        assert not (layers / "upper/.wh.file").exists()
    finally:
        unmount_all(str(layers))
