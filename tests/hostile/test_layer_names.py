"""Layers whose names, links and whiteouts try to get out, or to steer overlayfs (hostile inputs 1 to 6)."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from lamina.errors import Corrupt
from lamina.graphdriver.contract import DiffForm
from lamina.layer.entry import InvalidEntry
from lamina.tarball import header as tar
from lamina.tarball.header import Header
from support.layertar import Entry, device, directory, file, hard_link, layer, look, reassemble, symlink, unpack

pytestmark = pytest.mark.root

BOTH = pytest.mark.parametrize("form", DiffForm.ALL)


@pytest.fixture
def jail(tmp_path: Path) -> Iterator[Path]:
    """A directory with a victim beside it; fails when anything but the layer's directory has changed."""
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim/hello").write_bytes(b"untouched")
    before = look(tmp_path / "victim")
    status = os.stat(tmp_path / "victim")
    yield tmp_path / "layer"
    assert look(tmp_path / "victim") == before
    assert os.stat(tmp_path / "victim").st_mtime_ns == status.st_mtime_ns
    assert os.stat(tmp_path / "victim").st_mode == status.st_mode
    assert {path.name for path in tmp_path.iterdir()} <= {"victim", "layer", "layer.tar-split", "lower"}


@BOTH
@pytest.mark.parametrize(
    "name",
    [
        b"../victim/hello",
        b"/../victim/hello",
        b"a/../../victim/hello",
        b"..",
        b"/..",
        b"../",
        b"./../x",
        b"a/b/../../../x",
    ],
)
@pytest.mark.parametrize("kind", [tar.REGULAR, tar.DIRECTORY, tar.SYMLINK, tar.HARD_LINK, tar.FIFO])
def test_name_that_leaves_the_layer_is_rejected(jail: Path, form: DiffForm, name: bytes, kind: bytes) -> None:
    link = b"b" if kind in (tar.SYMLINK, tar.HARD_LINK) else b""
    with pytest.raises(InvalidEntry, match="outside") as error:
        unpack(layer(file(b"b", b"x"), (Header(name, kind, linkname=link), [])), jail, form)
    assert error.value.name.rstrip(b"/") == name.rstrip(b"/")


@BOTH
@pytest.mark.parametrize("name", [b"./x", b"/x", b"//x", b"a/../x", b"././x", b"/./x"])
def test_odd_name_inside_is_taken(jail: Path, form: DiffForm, name: bytes) -> None:
    data = layer(file(name, b"content"))
    unpack(data, jail, form)
    assert (jail / "x").read_bytes() == b"content"


@BOTH
@pytest.mark.parametrize("name", [b"d/", b"d//", b"./d/", b"/d/"])
def test_directory_name_may_end_in_slashes(jail: Path, form: DiffForm, name: bytes) -> None:
    unpack(layer((Header(name, tar.DIRECTORY, mode=0o700), [])), jail, form)
    assert stat.S_IMODE(os.lstat(jail / "d").st_mode) == 0o700


@BOTH
@pytest.mark.parametrize("target", [b"../victim", b"/../victim", b"../../../../../../victim", b"a/../../victim", b"{}"])
@pytest.mark.parametrize("write", [b"link/hello", b"./link/hello", b"link//hello", b"link/./hello", b"link/new"])
def test_writing_through_a_link_never_leaves(jail: Path, form: DiffForm, target: bytes, write: bytes) -> None:
    if target == b"{}":
        target = os.fsencode(jail.parent / "victim")
    data = layer(symlink(b"link", target), file(write, b"overwritten"))
    with pytest.raises(InvalidEntry):  # inside of the layer there is no such directory
        unpack(data, jail, form)


@BOTH
def test_link_in_a_parent_resolves_inside_the_layer(jail: Path, form: DiffForm) -> None:
    entries = (
        directory(b"usr/bin"),
        symlink(b"bin", b"/usr/bin"),
        symlink(b"up", b"../../../usr"),
        symlink(b"hop", b"up/bin"),
        file(b"bin/a", b"1"),
        file(b"up/bin/b", b"2"),
        file(b"hop/c", b"3"),
    )
    unpack(layer(*entries), jail, form)
    assert {path.name for path in (jail / "usr/bin").iterdir()} == {"a", "b", "c"}
    assert os.readlink(jail / "bin") == "/usr/bin"


@BOTH
def test_link_loop_and_file_as_parent_are_errors(jail: Path, form: DiffForm) -> None:
    with pytest.raises(InvalidEntry):
        unpack(layer(symlink(b"a", b"b"), symlink(b"b", b"a"), file(b"a/x")), jail, form)
    with pytest.raises(InvalidEntry):
        unpack(layer(file(b"f"), file(b"f/x")), jail, form)


@BOTH
def test_link_without_target_is_an_error(jail: Path, form: DiffForm) -> None:
    with pytest.raises(InvalidEntry, match="without a target"):
        unpack(layer(symlink(b"a", b"")), jail, form)


def test_link_of_the_layer_below_is_followed_inside_only(jail: Path) -> None:
    jail.mkdir()
    (jail / "link").symlink_to("../victim")
    with pytest.raises(InvalidEntry):
        unpack(layer(file(b"link/hello", b"x")), jail, DiffForm.SNAPSHOT)


@BOTH
def test_file_replaces_a_link_instead_of_writing_through_it(jail: Path, form: DiffForm) -> None:
    unpack(layer(symlink(b"x", b"../victim/hello"), file(b"x", b"mine")), jail, form)
    assert not (jail / "x").is_symlink()
    assert (jail / "x").read_bytes() == b"mine"


# hard links


@BOTH
@pytest.mark.parametrize("target", [b"../victim/hello", b"/../victim/hello", b"a/../../victim/hello"])
def test_hard_link_that_leaves_is_rejected(jail: Path, form: DiffForm, target: bytes) -> None:
    with pytest.raises(InvalidEntry, match="outside"):
        unpack(layer(hard_link(b"x", target)), jail, form)


@BOTH
@pytest.mark.parametrize("target", [b"missing", b"dir", b"dir/", b"", b".", b"/", b"x"])
def test_hard_link_to_no_file_is_an_error(jail: Path, form: DiffForm, target: bytes) -> None:
    with pytest.raises(InvalidEntry):
        unpack(layer(directory(b"dir"), hard_link(b"x", target)), jail, form)


@BOTH
def test_hard_link_through_a_link_never_leaves(jail: Path, form: DiffForm) -> None:
    with pytest.raises(InvalidEntry):
        unpack(layer(symlink(b"v", b"../victim"), hard_link(b"x", b"v/hello")), jail, form)


@BOTH
def test_absolute_hard_link_target_is_inside_the_layer(jail: Path, form: DiffForm) -> None:
    unpack(layer(file(b"a/b", b"x"), hard_link(b"c", b"/a/b"), hard_link(b"d", b"./a/b")), jail, form)
    assert os.stat(jail / "a/b").st_ino == os.stat(jail / "c").st_ino == os.stat(jail / "d").st_ino


@BOTH
def test_hard_link_to_a_link_changes_nothing_behind_it(jail: Path, form: DiffForm) -> None:
    unpack(layer(symlink(b"a", b"../victim/hello"), hard_link(b"b", b"a", mode=0o7777, uid=5, gid=5)), jail, form)
    assert os.readlink(jail / "b") == "../victim/hello"


def test_hard_link_to_a_whiteout_makes_no_second_one(jail: Path) -> None:
    with pytest.raises(InvalidEntry):
        unpack(layer(file(b".wh.a"), hard_link(b"b", b"a")), jail)


# the root


@BOTH
@pytest.mark.parametrize("name", [b".", b"/", b"./", b"", b"a/.."])
@pytest.mark.parametrize("kind", [tar.REGULAR, tar.SYMLINK, tar.HARD_LINK, tar.FIFO, tar.CHARACTER])
def test_root_can_be_nothing_but_a_directory(jail: Path, form: DiffForm, name: bytes, kind: bytes) -> None:
    header = Header(name, kind, linkname=b"../victim" if kind != tar.REGULAR else b"", major=1, minor=3)
    with pytest.raises(InvalidEntry, match="root"):
        unpack(layer((header, [])), jail, form)
    assert jail.is_dir()
    assert not jail.is_symlink()


@BOTH
def test_root_directory_entry_changes_nothing(jail: Path, form: DiffForm) -> None:
    jail.mkdir()
    os.chmod(jail, 0o755)
    unpack(layer((Header(b"./", tar.DIRECTORY, mode=0), [])), jail, form)
    assert stat.S_IMODE(os.stat(jail).st_mode) == 0o755


# replacements


@BOTH
def test_directory_replaced_by_a_link_takes_no_children_outside(jail: Path, form: DiffForm) -> None:
    entries = (directory(b"d"), symlink(b"d", b"../victim"), file(b"d/hello", b"x"))
    with pytest.raises(InvalidEntry):
        unpack(layer(*entries), jail, form)


@BOTH
def test_link_replaced_by_a_directory_holds_its_children(jail: Path, form: DiffForm) -> None:
    data = layer(symlink(b"d", b"../victim"), directory(b"d"), file(b"d/hello", b"x"))
    unpack(data, jail, form)
    assert (jail / "d/hello").read_bytes() == b"x"
    assert reassemble(jail) == data


def test_file_replaces_the_lower_layers_link(jail: Path) -> None:
    """busybox's ``sh`` becoming a real file must work."""
    jail.mkdir()
    (jail / "sh").symlink_to("busybox")
    (jail / "busybox").write_bytes(b"busybox")
    unpack(layer(file(b"sh", b"bash", mode=0o755)), jail, DiffForm.SNAPSHOT)
    assert (jail / "sh").read_bytes() == b"bash"
    assert (jail / "busybox").read_bytes() == b"busybox"


@pytest.mark.parametrize("new", [file(b"d", b"x"), symlink(b"d", b"e"), device(b"d", 0, 0, tar.FIFO)])
def test_lower_directory_is_replaced_by_whatever_comes(jail: Path, new: Entry) -> None:
    (jail / "d/e").mkdir(parents=True)
    (jail / "d/e/f").write_bytes(b"gone")
    unpack(layer(new), jail, DiffForm.SNAPSHOT)
    assert not stat.S_ISDIR(os.lstat(jail / "d").st_mode)


@BOTH
def test_content_that_would_be_lost_is_an_error(jail: Path, form: DiffForm) -> None:
    """The archive's bytes could not be given back any more. Docker refuses too."""
    with pytest.raises(Corrupt, match="duplicates of file paths not supported"):
        unpack(layer(file(b"a", b"one"), file(b"./a", b"two")), jail, form)


@BOTH
def test_repeated_entries_without_content_are_kept_in_the_record(jail: Path, form: DiffForm) -> None:
    data = layer(directory(b"d"), directory(b"d", mode=0o700), file(b"f"), file(b"f", b"content"), symlink(b"f2", b"a"))
    unpack(data, jail, form)
    assert stat.S_IMODE(os.stat(jail / "d").st_mode) == 0o700
    assert (jail / "f").read_bytes() == b"content"
    assert reassemble(jail) == data


# whiteouts


@BOTH
@pytest.mark.parametrize("name", [b".wh.", b".wh..", b".wh...", b"d/.wh..", b"d/.wh...", b".wh./x", b".wh.d/x"])
def test_whiteout_of_no_name_is_rejected(jail: Path, form: DiffForm, name: bytes) -> None:
    with pytest.raises(InvalidEntry):
        unpack(layer(directory(b"d"), file(name)), jail, form)


@BOTH
@pytest.mark.parametrize("name", [b".wh..wh.x", b".wh..wh.plnk/1.2", b".wh..wh.aufs", b"d/.wh..wh.orph"])
def test_aufs_records_are_left_out_but_kept_in_the_record(jail: Path, form: DiffForm, name: bytes) -> None:
    data = layer(directory(b"d"), file(name, b"content"), file(b"x", b"y"))
    unpack(data, jail, form)
    assert set(look(jail)) == {"d", "x"}
    assert reassemble(jail) == data


def test_whiteout_and_opaque_marks_become_overlayfs_own(jail: Path) -> None:
    data = layer(
        directory(b"d"), file(b"d/x", b"1"), file(b"d/.wh..wh..opq"), file(b".wh.gone"), file(b"e/.wh.y", b"odd")
    )
    unpack(data, jail)
    assert os.getxattr(jail / "d", "trusted.overlay.opaque") == b"y"
    for name in ("gone", "e/y"):
        status = os.lstat(jail / name)
        assert stat.S_ISCHR(status.st_mode)
        assert status.st_rdev == 0
    assert reassemble(jail) == data


def test_whiteouts_delete_in_a_whole_tree(jail: Path) -> None:
    for name in ("a/b/c", "d/old", "keep"):
        (jail / name).parent.mkdir(parents=True, exist_ok=True)
        (jail / name).write_bytes(b"lower")
    data = layer(file(b".wh.a"), file(b".wh.missing"), file(b"d/new", b"n"), file(b"d/.wh..wh..opq"), file(b"keep2"))
    unpack(data, jail, DiffForm.SNAPSHOT)
    assert set(look(jail)) == {"d", "d/new", "keep", "keep2"}


@BOTH
@pytest.mark.parametrize("first", ["whiteout", "file"])
def test_whiteout_hides_only_lower_layers(jail: Path, form: DiffForm, first: str) -> None:
    if form is DiffForm.SNAPSHOT:
        jail.mkdir()
        (jail / "f").write_bytes(b"lower")
    entries = [file(b".wh.f"), file(b"f", b"mine")]
    unpack(layer(*(entries if first == "whiteout" else entries[::-1])), jail, form)
    assert (jail / "f").read_bytes() == b"mine"


@pytest.mark.parametrize("first", ["whiteout", "directory"])
def test_directory_beside_its_whiteout_hides_what_was_below(jail: Path, first: str) -> None:
    entries = [file(b".wh.d"), directory(b"d")]
    unpack(layer(*(entries if first == "whiteout" else entries[::-1]), file(b"d/x")), jail)
    assert os.getxattr(jail / "d", "trusted.overlay.opaque") == b"y"


@pytest.mark.parametrize("first", ["whiteout", "directory"])
def test_directory_beside_its_whiteout_has_only_its_own_content(jail: Path, first: str) -> None:
    (jail / "d").mkdir(parents=True)
    (jail / "d/lower").write_bytes(b"")
    entries = [file(b".wh.d"), directory(b"d")]
    unpack(layer(*(entries if first == "whiteout" else entries[::-1]), file(b"d/x")), jail, DiffForm.SNAPSHOT)
    assert set(look(jail)) == {"d", "d/x"}


@BOTH
def test_whiteout_through_a_link_deletes_nothing_outside(jail: Path, form: DiffForm) -> None:
    with pytest.raises(InvalidEntry):
        unpack(layer(symlink(b"v", b"../victim"), file(b"v/.wh.hello")), jail, form)


@BOTH
def test_opaque_mark_through_a_link_deletes_nothing_outside(jail: Path, form: DiffForm) -> None:
    with pytest.raises(InvalidEntry):
        unpack(layer(symlink(b"v", b"../victim"), file(b"v/.wh..wh..opq")), jail, form)


def test_opaque_root_empties_a_whole_tree(jail: Path) -> None:
    jail.mkdir()
    (jail / "old").write_bytes(b"")
    unpack(layer(file(b"new"), file(b".wh..wh..opq")), jail, DiffForm.SNAPSHOT)
    assert set(look(jail)) == {"new"}


@BOTH
def test_device_zero_of_an_image_is_no_whiteout(jail: Path, form: DiffForm) -> None:
    with pytest.raises(InvalidEntry, match="overlayfs's own mark"):
        unpack(layer(device(b"bin", 0, 0)), jail, form)


@BOTH
def test_overlay_attributes_of_an_image_are_dropped(jail: Path, form: DiffForm) -> None:
    attributes = {
        b"trusted.overlay.opaque": b"y",
        b"trusted.overlay.redirect": b"/etc",
        b"trusted.overlay.metacopy": b"",
        b"trusted.overlay.overlay.opaque": b"y",
        b"user.overlay.opaque": b"y",
        b"user.mine": b"kept",
    }
    unpack(layer(directory(b"d", xattrs=attributes), file(b"f", b"x", xattrs=attributes)), jail, form)
    assert os.listxattr(jail / "d") == os.listxattr(jail / "f") == ["user.mine"]
