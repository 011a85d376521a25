"""What is wrong in an upper directory and how it is mended; other dialects; one plain directory."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from lamina.errors import Conflict, Unsupported
from lamina.unionfs.check import Finding, findings, repair
from lamina.unionfs.convert import Converted, convert
from lamina.unionfs.flatten import flatten
from lamina.unionfs.options import Dialect, MountOptions
from lamina.unionfs.union import Union


@pytest.fixture
def options(tmp_path: Path) -> MountOptions:
    for name in ("lower/dir/sub", "lower/other", "upper", "work"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("lower/file", "lower/dir/one", "lower/dir/sub/two", "lower/other/three"):
        (tmp_path / name).write_text(name)
    return MountOptions((f"{tmp_path}/lower",), f"{tmp_path}/upper", f"{tmp_path}/work")


def aufs(options: MountOptions) -> MountOptions:
    return options._replace(dialect=Dialect.AUFS, workdir=None)


def tree(options: MountOptions) -> dict[bytes, bytes]:
    """What a union shows: content of files by path."""
    shown = {}
    with Union(options._replace(read_only=True)) as union:
        for path, entries in union.walk():
            for entry in entries:
                place = path + b"/" + entry.name
                shown[place] = b""
                if entry.kind == stat.S_IFREG:
                    descriptor = union.open(place)
                    shown[place] = os.read(descriptor, 100)
                    os.close(descriptor)
    return shown


def change(options: MountOptions) -> None:
    """A whiteout, an opaque directory, a changed file."""
    with Union(options) as union:
        union.unlink("file")
        union.unlink("other/three")
        union.rmdir("other")
        union.mkdir("other")
        os.close(union.open("dir/sub/new", os.O_CREAT | os.O_WRONLY))


def found(options: MountOptions) -> list[Finding]:
    return list(findings(options))


@pytest.mark.root
def test_nothing_is_wrong_with_what_we_write(options: MountOptions) -> None:
    change(options)
    assert found(options) == []


@pytest.mark.root
def test_marks_that_mean_nothing_are_found_and_mended_and_the_tree_stays(options: MountOptions, tmp_path: Path) -> None:
    change(options)
    before = tree(options)
    os.mknod(tmp_path / "upper/dir/nothing", stat.S_IFCHR, 0)
    os.setxattr(tmp_path / "upper/dir", "trusted.overlay.opaque", b"?")
    (tmp_path / "upper/fresh").mkdir()
    before[b"/fresh"] = b""
    os.setxattr(tmp_path / "upper/fresh", "trusted.overlay.redirect", b"/absent")
    (tmp_path / "work/work/#1").mkdir(parents=True)
    wrong = found(options)
    assert sorted(finding.kind for finding in wrong) == ["leftover", "mark", "redirect", "whiteout"]
    for finding in wrong:
        assert finding.repairable
        repair(finding)
    assert found(options) == []
    assert tree(options) == before


@pytest.mark.root
def test_a_renamed_directory_is_not_wrong(options: MountOptions) -> None:
    with Union(options) as union:
        union.rename("dir", "moved")
        union.unlink("moved/one")
    assert found(options) == []


def test_whiteouts_of_aufs_are_checked_too(options: MountOptions, tmp_path: Path) -> None:
    (tmp_path / "upper/.wh.file").touch()
    (tmp_path / "upper/.wh.absent").touch()
    (tmp_path / "upper/.wh.both").touch()
    (tmp_path / "upper/both").touch()
    wrong = found(aufs(options))
    assert {os.path.basename(finding.path): finding.repairable for finding in wrong} == {
        ".wh.absent": True,
        ".wh.both": True,
        "both": False,
    }


@pytest.mark.root
def test_a_converted_layer_shows_the_same_and_comes_back_the_same(options: MountOptions, tmp_path: Path) -> None:
    change(options)
    shown = tree(options)
    times = os.stat(tmp_path / "upper").st_mtime_ns
    upper = f"{tmp_path}/upper"
    assert convert(upper, Dialect.OVERLAY, Dialect.AUFS) == Converted(1, 1)
    assert sorted(os.listdir(upper)) == [".wh.file", "dir", "other"]
    assert os.listdir(f"{upper}/other") == [".wh..wh..opq"]
    assert tree(aufs(options)) == shown
    assert os.stat(upper).st_mtime_ns == times
    assert convert(upper, Dialect.AUFS, Dialect.OVERLAY) == Converted(1, 1)
    assert tree(options) == shown
    assert found(options) == []


@pytest.mark.root
def test_a_conversion_that_was_stopped_is_finished_by_doing_it_again(options: MountOptions, tmp_path: Path) -> None:
    change(options)
    shown = tree(options)
    (tmp_path / "upper/other/.wh..wh..opq").touch()
    (tmp_path / "upper/.wh.file").touch()
    convert(f"{tmp_path}/upper", Dialect.OVERLAY, Dialect.AUFS)
    assert tree(aufs(options)) == shown


@pytest.mark.root
def test_what_the_other_dialect_can_not_say_is_refused_and_nothing_is_changed(
    options: MountOptions, tmp_path: Path
) -> None:
    with Union(options) as union:
        union.unlink("file")
        union.rename("dir", "moved")
    before = sorted(os.listdir(tmp_path / "upper"))
    with pytest.raises(Unsupported, match="moved is a renamed directory"):
        convert(f"{tmp_path}/upper", Dialect.OVERLAY, Dialect.AUFS)
    assert sorted(os.listdir(tmp_path / "upper")) == before


@pytest.mark.root
def test_one_plain_directory_has_everything_that_the_union_shows(options: MountOptions, tmp_path: Path) -> None:
    os.link(tmp_path / "lower/dir/one", tmp_path / "lower/dir/one again")
    os.symlink("one", tmp_path / "lower/dir/link")
    os.chmod(tmp_path / "lower/dir/one", 0o4751)
    os.setxattr(tmp_path / "lower/dir/one", "user.x", b"1")
    os.utime(tmp_path / "lower/dir", (1, 2))
    with open(tmp_path / "lower/sparse", "wb") as file:
        file.truncate(1 << 24)
    change(options)
    flatten(options, f"{tmp_path}/flat")
    flat = tmp_path / "flat"
    assert tree(MountOptions((str(flat),))) == tree(options)
    status = os.stat(flat / "dir/one")
    assert (stat.S_IMODE(status.st_mode), status.st_nlink) == (0o4751, 2)
    assert os.getxattr(flat / "dir/one", "user.x") == b"1"
    assert os.stat(flat / "sparse").st_blocks < 100
    assert os.stat(flat / "dir").st_mtime == 2
    with pytest.raises(Conflict):
        flatten(options, str(flat))
