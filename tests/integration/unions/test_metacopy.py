"""``metacopy=on``: a changed file's data stays below until it is written to, also for the kernel's overlayfs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lamina.errors import InvalidArgument, Unsupported
from lamina.unionfs import fuse, grammar
from lamina.unionfs.options import MountOptions
from lamina.unionfs.union import Union
from support.mounts import unmount_all

pytestmark = pytest.mark.root

_MARK = "trusted.overlay.metacopy"
_SIZE = 300_000
#: Mounts the layers with ``metacopy=on``; the merged directory.
Mount = Callable[[], Path]


def content(name: str) -> bytes:
    return name.encode().ljust(16) * (_SIZE // 16)


@pytest.fixture
def layers(tmp_path: Path) -> Iterator[Path]:
    for name in ("bottom/dir", "upper", "work", "merged"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("chmod", "chown", "renamed", "linked", "attribute", "written", "truncated", "emptied", "deleted"):
        (tmp_path / "bottom/dir" / name).write_bytes(content(name))
    try:
        yield tmp_path
    finally:
        unmount_all(str(tmp_path))


def words(layers: Path, *lowers: str, upper: str = "upper") -> str:
    directories = ":".join(f"{layers}/{name}" for name in lowers or ("bottom",))
    return f"lowerdir={directories},upperdir={layers}/{upper},workdir={layers}/work,redirect_dir=on,metacopy=on"


@contextmanager
def ours(layers: Path, text: str) -> Iterator[Path]:
    fuse.mount_in_background(grammar.parse(text), f"{layers}/merged")
    yield layers / "merged"
    fuse.unmount(f"{layers}/merged")


@contextmanager
def kernels(layers: Path, text: str) -> Iterator[Path]:
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", text, f"{layers}/merged"], check=True)
    yield layers / "merged"
    subprocess.run(["umount", f"{layers}/merged"], check=True)


def change(merged: Path) -> None:
    """Changes that leave data where it is, and some that don't."""
    directory = merged / "dir"
    (directory / "chmod").chmod(0o4755)
    os.chown(directory / "chown", 5, 6)
    (directory / "renamed").rename(merged / "moved")
    os.link(directory / "linked", merged / "second")
    os.setxattr(directory / "attribute", "user.x", b"1")
    with open(directory / "written", "r+b") as file:
        file.write(b"new")
    os.truncate(directory / "truncated", 100_000)
    (directory / "emptied").write_bytes(b"")
    (directory / "deleted").chmod(0o600)
    (directory / "deleted").unlink()


def check(merged: Path) -> None:
    """What :func:`change` makes."""
    directory = merged / "dir"
    assert sorted(os.listdir(directory)) == [
        "attribute",
        "chmod",
        "chown",
        "emptied",
        "linked",
        "truncated",
        "written",
    ]
    assert (directory / "chmod").stat().st_mode & 0o7777 == 0o4755
    assert (directory / "chown").stat().st_uid == 5
    assert os.getxattr(directory / "attribute", "user.x") == b"1"
    for name in ("chmod", "chown", "attribute", "linked"):
        assert (directory / name).read_bytes() == content(name)
        assert (directory / name).stat().st_blocks * 512 >= _SIZE
    assert (merged / "moved").read_bytes() == content("renamed")
    assert (merged / "second").read_bytes() == content("linked")
    assert (merged / "second").stat().st_nlink == 2
    assert (directory / "written").read_bytes() == b"new" + content("written")[3:]
    assert (directory / "truncated").read_bytes() == content("truncated")[:100_000]
    assert (directory / "emptied").read_bytes() == b""
    assert _MARK not in os.listxattr(directory / "chmod")


def borrowing(upper: Path) -> set[str]:
    """Files whose data is not in the upper layer."""
    return {path.name for path in upper.rglob("*") if path.is_file() and _MARK in os.listxattr(path)}


def test_data_stays_below_until_it_is_written_to(layers: Path) -> None:
    with ours(layers, words(layers)) as merged:
        change(merged)
        check(merged)
        assert borrowing(layers / "upper") == {"chmod", "chown", "moved", "linked", "second", "attribute"}
        times = (merged / "dir/chmod").stat().st_mtime_ns
        with open(merged / "dir/chmod", "r+b") as file:
            assert (merged / "dir/chmod").stat().st_mtime_ns == times
            file.seek(10)
            file.write(b"!")
        assert (merged / "dir/chmod").read_bytes()[10:11] == b"!"
        assert (merged / "dir/chmod").stat().st_mode & 0o7777 == 0o4755
        assert "chmod" not in borrowing(layers / "upper")


def test_a_large_file_gets_its_data_while_others_are_served(layers: Path) -> None:
    data = os.urandom(1 << 20) * 12
    (layers / "bottom/dir/large").write_bytes(data)
    os.utime(layers / "bottom/dir/large", ns=(1, 2))
    with ours(layers, words(layers)) as merged, open(merged / "dir/large", "rb") as reader:
        path = merged / "dir/large"
        path.chmod(0o4711)
        descriptors = [os.open(path, os.O_WRONLY) for _ in range(2)]
        assert path.stat().st_mtime_ns == 2
        assert path.stat().st_mode & 0o7777 == 0o4711
        for number, descriptor in enumerate(descriptors):
            os.pwrite(descriptor, b"%d" % number, number)
            os.close(descriptor)
        assert path.read_bytes() == reader.read() == b"01" + data[2:]
        assert borrowing(layers / "upper") == set()


def test_it_is_explained_where_the_data_is(layers: Path) -> None:
    with ours(layers, words(layers)) as merged:
        (merged / "dir/renamed").rename(merged / "moved")
    with Union(grammar.parse(words(layers))) as union:
        assert [(found.layer, found.why) for found in union.all("moved")] == [(0, "shown"), (1, "its data is shown")]


def test_an_open_file_follows_its_data(layers: Path) -> None:
    with ours(layers, words(layers)) as merged, open(merged / "dir/chmod", "rb", buffering=0) as early:
        path = merged / "dir/chmod"
        path.chmod(0o640)
        with open(path, "rb", buffering=0) as reader:
            with open(path, "r+b") as writer:
                writer.write(b"new")
            assert os.pread(reader.fileno(), 3, 0) == os.pread(early.fileno(), 3, 0) == b"new"
        with open(merged / "dir/chown", "rb", buffering=0) as reader:
            os.chown(merged / "dir/chown", 5, 6)
            (merged / "dir/chown").unlink()
            os.fchmod(reader.fileno(), 0o600)
            assert reader.read(5) == b"chown"
            assert os.fstat(reader.fileno()).st_mode & 0o777 == 0o600
            assert os.fstat(reader.fileno()).st_uid == 5
    assert (layers / "bottom/dir/chown").stat().st_uid == 0


def test_the_kernel_reads_ours(layers: Path) -> None:
    with ours(layers, words(layers)) as merged:
        change(merged)
    with kernels(layers, words(layers)) as merged:
        check(merged)


def test_we_read_the_kernels(layers: Path) -> None:
    with kernels(layers, words(layers)) as merged:
        change(merged)
    assert "chmod" in borrowing(layers / "upper")
    with ours(layers, words(layers)) as merged:
        check(merged)


@pytest.mark.parametrize(("first", "second"), [(ours, kernels), (kernels, ours)])
def test_data_is_found_through_several_layers(layers: Path, first: Callable, second: Callable) -> None:
    for name in ("upper2", "work2"):
        (layers / name).mkdir()
    with first(layers, words(layers)) as merged:
        change(merged)
        (merged / "dir").rename(merged / "elsewhere")
    text = words(layers, "upper", "bottom", upper="upper2")
    with second(layers, text) as merged:
        (merged / "elsewhere/chmod").chmod(0o700)
        (merged / "moved").rename(merged / "again")
        assert "again" in borrowing(layers / "upper2")
    with first(layers, text) as merged:
        assert (merged / "elsewhere/chmod").read_bytes() == content("chmod")
        assert (merged / "elsewhere/chmod").stat().st_mode & 0o777 == 0o700
        assert (merged / "elsewhere/chown").read_bytes() == content("chown")
        assert (merged / "again").read_bytes() == content("renamed")
        assert (merged / "second").read_bytes() == content("linked")
        with open(merged / "elsewhere/chown", "r+b") as file:
            file.write(b"C")
        assert (merged / "elsewhere/chown").read_bytes() == b"C" + content("chown")[1:]


def test_who_does_not_allow_it_gets_no_holes(layers: Path) -> None:
    with ours(layers, words(layers)) as merged:
        change(merged)
    plain = MountOptions((f"{layers}/bottom",), f"{layers}/upper", f"{layers}/work")
    with Union(plain) as union:
        with pytest.raises(PermissionError, match="metacopy"):
            union.lstat("dir/chmod")
        assert union.lstat("dir/written").st_size == _SIZE
    with Union(MountOptions((f"{layers}/upper", f"{layers}/bottom"))) as union:
        with pytest.raises(PermissionError, match="metacopy"):
            union.lstat("dir/chmod")


def test_a_file_without_data_is_an_error(layers: Path) -> None:
    with ours(layers, words(layers)) as merged:
        (merged / "dir/chmod").chmod(0o600)
    (layers / "bottom/dir/chmod").unlink()
    with Union(grammar.parse(words(layers))) as union, pytest.raises(OSError, match="no layer has the file's data"):
        union.lstat("dir/chmod")


@pytest.mark.parametrize("word", ["userxattr", "redirect_dir=off", "dialect=aufs"])
def test_it_excludes_what_it_does_in_the_kernel(layers: Path, word: str) -> None:
    options = grammar.parse(words(layers) + "," + word)
    with pytest.raises((InvalidArgument, Unsupported), match="metacopy=on"):
        Union(options)
