"""``index=on``: hard links of lower files stay together when one is changed, on ours and on the kernel's overlayfs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from lamina.errors import Conflict, Unsupported
from lamina.unionfs import fuse, grammar
from lamina.unionfs.union import Union
from support.mounts import unmount_all

pytestmark = pytest.mark.root

Mount = Callable[[Path], AbstractContextManager[Path]]

#: Names of one lower file, of another, and of a symbolic link.
_FIRST = ("a", "b", "dir/c", "dir/d")
_SECOND = ("x", "dir/y")
_LINKS = ("link", "dir/link")


@pytest.fixture
def layers(tmp_path: Path) -> Iterator[Path]:
    for name in ("lower/dir", "upper", "work", "merged"):
        (tmp_path / name).mkdir(parents=True)
    for names in (_FIRST, _SECOND):
        (tmp_path / "lower" / names[0]).write_text("lower")
        for name in names[1:]:
            os.link(tmp_path / "lower" / names[0], tmp_path / "lower" / name)
    os.symlink("target", tmp_path / "lower/link")
    os.link(tmp_path / "lower/link", tmp_path / "lower/dir/link", follow_symlinks=False)
    try:
        yield tmp_path
    finally:
        unmount_all(str(tmp_path))


def words(layers: Path) -> str:
    return f"lowerdir={layers}/lower,upperdir={layers}/upper,workdir={layers}/work,redirect_dir=on,index=on"


@contextmanager
def ours(layers: Path) -> Iterator[Path]:
    fuse.mount_in_background(grammar.parse(words(layers)), f"{layers}/merged")
    yield layers / "merged"
    fuse.unmount(f"{layers}/merged")


@contextmanager
def kernels(layers: Path) -> Iterator[Path]:
    options = words(layers) + ",metacopy=off"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, f"{layers}/merged"], check=True)
    yield layers / "merged"
    subprocess.run(["umount", f"{layers}/merged"], check=True)


def together(merged: Path, *names: str) -> set[tuple[int, int]]:
    """Inode number and number of links of each of ``names``: one if they are one file."""
    found = {(status.st_ino, status.st_nlink) for status in (os.lstat(merged / name) for name in names)}
    assert len(found) == 1
    return found


def change(merged: Path) -> None:
    (merged / "a").write_text("changed")
    os.chmod(merged / "dir/y", 0o600)
    os.utime(merged / "dir/link", ns=(1, 2), follow_symlinks=False)


def check(merged: Path, *, written: str = "changed") -> None:
    assert [links for _, links in together(merged, *_FIRST)] == [4]
    assert [links for _, links in together(merged, *_SECOND)] == [2]
    assert [links for _, links in together(merged, *_LINKS)] == [2]
    assert {(merged / name).read_text() for name in _FIRST} == {written}
    assert (merged / "x").stat().st_mode & 0o777 == 0o600
    assert os.lstat(merged / "link").st_mtime_ns == 2


def test_a_change_shows_under_every_name(layers: Path) -> None:
    with ours(layers) as merged:
        before = together(merged, *_FIRST[:3])  # one name is looked up later
        with open(merged / "b") as reader:
            change(merged)
            assert reader.read() == "changed"
        check(merged)
        assert together(merged, *_FIRST) == before
    with ours(layers) as merged:
        check(merged)
        (merged / "dir/d").write_text("again")
        check(merged, written="again")


@pytest.mark.parametrize(("first", "second"), [(ours, kernels), (kernels, ours), (ours, ours)])
def test_names_go_and_come_until_none_is_left(layers: Path, first: Mount, second: Mount) -> None:
    with first(layers) as merged:
        change(merged)
        (merged / "b").unlink()
        os.link(merged / "a", merged / "dir/new")
        (merged / "dir/c").rename(merged / "moved")
    names = ["a", "moved", "dir/d", "dir/new"]
    with second(layers) as merged:
        assert [links for _, links in together(merged, *names)] == [4]
        (merged / "moved").write_text("once more")
        assert {(merged / name).read_text() for name in names} == {"once more"}
        (merged / "x").replace(merged / "a")  # takes a name of another file
        assert [links for _, links in together(merged, "a", "dir/y")] == [2]
        assert [links for _, links in together(merged, *names[1:])] == [3]
        for name in names[1:]:
            (merged / name).unlink()
    index = [path for path in (layers / "work/index").iterdir() if not path.name.startswith("#")]
    assert len(index) == 2  # of "x" and of the link
    with first(layers) as merged:
        assert sorted(os.listdir(merged / "dir")) == ["link", "y"]
        assert [links for _, links in together(merged, "a", "dir/y")] == [2]


@pytest.mark.parametrize(("first", "second"), [(ours, kernels), (kernels, ours)])
def test_the_other_goes_on(layers: Path, first: Mount, second: Mount) -> None:
    with first(layers) as merged:
        change(merged)
        check(merged)
    with second(layers) as merged:
        check(merged)
        (merged / "dir/d").write_text("by the other")
        check(merged, written="by the other")
    with first(layers) as merged:
        check(merged, written="by the other")


def test_a_deleted_file_that_is_open_is_counted(layers: Path) -> None:
    with ours(layers) as merged, open(merged / "x") as reader:
        (merged / "x").unlink()
        assert os.fstat(reader.fileno()).st_nlink == 1
        (merged / "dir/y").unlink()
        assert os.fstat(reader.fileno()).st_nlink == 0
        assert reader.read() == "lower"
    assert os.listdir(layers / "work/index") == []


def test_the_library_does_the_same(layers: Path) -> None:
    with Union(grammar.parse(words(layers))) as union:
        assert union.lstat("a").st_nlink == 4
        union.chmod("dir/c", 0o640)
        assert {union.lstat(name).st_mode & 0o777 for name in _FIRST} == {0o640}
        assert {(union.lstat(name).st_ino, union.lstat(name).st_nlink) for name in _FIRST} == {
            (union.lstat("a").st_ino, 4)
        }


def test_other_layers_are_refused(layers: Path) -> None:
    with ours(layers):
        pass
    (layers / "lower").rename(layers / "other")
    (layers / "lower").mkdir()
    with pytest.raises(Conflict, match="used with other directories"):
        Union(grammar.parse(words(layers)))
    for word in ("userxattr", "metacopy=on", "dialect=aufs"):
        with pytest.raises(Unsupported, match="index=on"):
            Union(grammar.parse(f"{words(layers)},{word}"))
