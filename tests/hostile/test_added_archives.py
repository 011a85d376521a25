"""Archives that ``ADD`` extracts and that want out of the image, or to steer what the layer says (hostile input 16)."""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lamina.builder.copying import Copier, Manner
from lamina.builder.selection import of_tree
from lamina.builder.tree import Tree
from lamina.errors import LaminaError
from lamina.graphdriver.removal import remove_tree
from support.command import Lamina
from support.layertar import Entry, device, directory, file, hard_link, layer, look, symlink

pytestmark = pytest.mark.root

Add = Callable[..., Path]


@pytest.fixture
def add(tmp_path: Path) -> Iterator[Add]:
    """``add(ENTRY, ...)`` adds an archive to ``/to`` of a root and gives that; nothing beside the root may change."""
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim/hello").write_text("untouched")
    (tmp_path / "context").mkdir()
    (tmp_path / "root").mkdir()
    before = look(tmp_path / "victim")

    def make(*entries: Entry, data: bytes = b"") -> Path:
        (tmp_path / "context/a.tar").write_bytes(data or layer(*entries))
        tree = Tree(str(tmp_path / "context"), owned=False)
        root = os.open(tmp_path / "root", os.O_RDONLY | os.O_DIRECTORY)
        copier = Copier(root, Manner())
        try:
            for piece in of_tree(tree, ["a.tar"], unpack=True).pieces():
                copier.copy(piece, "/to/")
        finally:
            copier.close()
            os.close(root)
            tree.close()
        return tmp_path / "root/to"

    yield make
    assert look(tmp_path / "victim") == before
    assert {path.name for path in tmp_path.iterdir()} == {"victim", "context", "root"}


@pytest.mark.parametrize("name", [b"../victim/x", b"/../x", b"a/../../x", b"..", b"../", b"./../x", b"a/b/../../../x"])
@pytest.mark.parametrize("make", [file, directory, lambda name: symlink(name, b"x"), lambda name: device(name, 1, 3)])
def test_a_name_that_leaves_is_refused(add: Add, name: bytes, make: Callable[[bytes], Entry]) -> None:
    with pytest.raises(LaminaError, match="outside"):
        add(make(name))


@pytest.mark.parametrize("name", [b"/x", b"//x", b"./x"])
def test_an_absolute_name_is_one_below_the_destination(add: Add, name: bytes) -> None:
    assert (add(file(name, b"in")) / "x").read_text() == "in"


@pytest.mark.parametrize(
    "target", [b"/victim", b"../../victim", b"../../../../victim", b"{}/victim", b"/proc/self/root"]
)
def test_a_link_leads_nowhere_else(add: Add, tmp_path: Path, target: bytes) -> None:
    target = target.replace(b"{}", os.fsencode(tmp_path))
    try:
        add(symlink(b"door", target), file(b"door/hello", b"written"), file(b"door/new", b"written"))
    except (LaminaError, OSError):
        return  # what it leads to is not there inside
    assert not (tmp_path / "root/victim/hello").is_symlink()


def test_a_link_over_several_links_leads_nowhere_else(add: Add, tmp_path: Path) -> None:
    hops = [symlink(b"a", b"b"), symlink(b"b", b"c/.."), directory(b"c"), symlink(b"c/up", os.fsencode(tmp_path))]
    with pytest.raises((LaminaError, OSError)):
        add(*hops, file(b"c/up/victim/hello", b"written"), symlink(b"loop", b"loop"), file(b"loop/x", b"x"))


def test_a_file_replaces_a_link_instead_of_writing_through_it(add: Add, tmp_path: Path) -> None:
    made = add(symlink(b"x", os.fsencode(tmp_path / "victim/hello")), file(b"x", b"mine"))
    assert not (made / "x").is_symlink()
    assert (made / "x").read_text() == "mine"


@pytest.mark.parametrize(
    "target", [b"../../victim/hello", b"/../victim/hello", b"a/../../../victim/hello", b"{}/victim/hello"]
)
def test_a_hard_link_does_not_reach_out(add: Add, tmp_path: Path, target: bytes) -> None:
    with pytest.raises((LaminaError, OSError)):
        add(hard_link(b"x", target.replace(b"{}", os.fsencode(tmp_path))))


def test_a_hard_link_through_a_link_does_not_reach_out(add: Add, tmp_path: Path) -> None:
    with pytest.raises((LaminaError, OSError)):
        add(symlink(b"v", os.fsencode(tmp_path / "victim")), hard_link(b"x", b"v/hello"))


def test_devices_and_fifos_are_made_and_not_opened(add: Add) -> None:
    made = add(device(b"null", 1, 3, mode=0o666), device(b"fifo", 0, 0, b"6"), device(b"white", 0, 0))
    assert os.lstat(made / "null").st_rdev == os.makedev(1, 3)
    assert stat.S_ISFIFO(os.lstat(made / "fifo").st_mode)


@pytest.mark.parametrize("slash", [b"", b"/"])
def test_a_root_that_is_no_directory_changes_nothing(add: Add, slash: bytes) -> None:
    made = add(symlink(b"." + slash, b"/victim"), file(b"x"))
    assert not made.is_symlink()
    assert os.listdir(made) == ["x"]


def test_a_name_deeper_than_python_recurses_is_made(add: Add) -> None:
    made = add(file(b"d/" * 1500 + b"f", b"deep"))
    levels, below = 0, os.open(made, os.O_RDONLY)
    while os.listdir(below) == ["d"]:
        above, below = below, os.open("d", os.O_RDONLY, dir_fd=below)
        os.close(above)
        levels += 1
    assert (levels, os.listdir(below)) == (1500, ["f"])
    os.close(below)
    remove_tree(str(made))


@pytest.mark.parametrize("name", [b"d/" * 3000 + b"f", b"x" * 300, b"d/" + b"x" * 5000])
def test_a_name_that_is_too_long_is_an_error(add: Add, name: bytes) -> None:
    with pytest.raises((LaminaError, OSError)):
        add(file(name))


def _extended(size: bytes, value: bytes) -> bytes:
    """An archive with an extended header that claims a size of its own."""
    header = bytearray(tarfile.TarInfo("pax").tobuf(tarfile.USTAR_FORMAT))
    header[124:136] = size.ljust(12, b"\0")
    header[156:157] = b"x"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + value.ljust(-(-len(value) // 512) * 512, b"\0")


@pytest.mark.parametrize("size", [b"77777777777", b"\x80" + b"\x7f" * 11, b"\xff" * 12, b"00200000000"])
def test_an_extended_header_that_claims_gigabytes_takes_no_memory(add: Add, size: bytes) -> None:
    with pytest.raises((LaminaError, OSError)):
        add(data=layer(file(b"first")).rstrip(b"\0").ljust(512, b"\0") + _extended(size, b"20 path=aaaaaaaaaaa\n"))


def test_hundred_thousand_extended_records_end(add: Add) -> None:
    records = b"".join(b"38 SCHILY.xattr.user.%06d=%s\n" % (number, b"v" * 9) for number in range(100_000))
    assert len(records) == 38 * 100_000
    size = b"%011o" % len(records)
    try:
        first = layer(file(b"first")).rstrip(b"\0").ljust(512, b"\0")
        made = add(data=first + _extended(size, records) + layer(file(b"x")))
    except LaminaError:
        return
    assert os.listxattr(made / "x") == []


@pytest.mark.needs("crun")
@pytest.mark.parametrize("name", [b".wh.kept", b"dir/.wh..wh..opq"])
def test_a_name_of_a_whiteout_removes_nothing(
    lamina: Lamina, busybox_archive: str, tmp_path: Path, name: bytes
) -> None:
    lamina("load", "--input", busybox_archive)
    context = tmp_path / "context"
    context.mkdir()
    (context / "a.tar").write_bytes(layer(directory(b"dir"), file(name, b"x")))
    (context / "Dockerfile").write_text(
        "FROM busybox\nRUN echo 1 >/kept && mkdir /dir && echo 2 >/dir/kept\nADD a.tar /\n"
    )
    done = lamina.run("build", str(context))
    assert done.returncode == 1
    assert "begins with '.wh.'" in done.stderr
    assert "Traceback" not in done.stderr
    assert lamina.run("system", "fsck").returncode == 0


@pytest.mark.needs("crun")
def test_a_device_that_overlayfs_takes_for_a_whiteout_removes_nothing(
    lamina: Lamina, busybox_archive: str, tmp_path: Path
) -> None:
    lamina("load", "--input", busybox_archive)
    context = tmp_path / "context"
    context.mkdir()
    (context / "a.tar").write_bytes(layer(device(b"kept", 0, 0)))
    (context / "Dockerfile").write_text("FROM busybox\nRUN echo 1 >/kept\nADD a.tar /\nRUN ls / > /listing\n")
    done = lamina.run("build", str(context))
    assert "Traceback" not in done.stderr
    assert lamina.run("system", "fsck").returncode == 0
