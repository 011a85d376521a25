"""fuse-overlayfs's dialect, and owners that are shown otherwise than the layers have them."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from lamina.unionfs.check import findings, repair
from lamina.unionfs.options import Dialect, IdRange, MountOptions
from lamina.unionfs.owners import IdMap, Owners
from lamina.unionfs.union import Union


@pytest.fixture
def options(tmp_path: Path) -> MountOptions:
    """An upper and a lower layer with marks as fuse-overlayfs leaves them where it may write no others."""
    for name in ("lower/dir", "lower/gone", "lower/opaque", "upper/dir", "upper/opaque", "upper/attribute", "work"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "lower/attribute").mkdir()
    for name in ("dir/hidden", "dir/shown", "opaque/hidden", "attribute/hidden", "gone/inside", "file"):
        (tmp_path / "lower" / name).write_text("lower")
    for name in (".wh.gone", ".wh.file", "dir/.wh.hidden", "opaque/.wh..wh..opq"):
        (tmp_path / "upper" / name).touch()
    os.setxattr(tmp_path / "upper/attribute", "user.fuseoverlayfs.opaque", b"y")
    os.setxattr(tmp_path / "lower/dir/shown", "user.fuseoverlayfs.origin", b"internal")
    return MountOptions(
        (f"{tmp_path}/lower",),
        f"{tmp_path}/upper",
        f"{tmp_path}/work",
        userxattr=True,
        redirect_dir="on",
        dialect=Dialect.FUSE_OVERLAYFS,
    )


def test_marks_of_either_dialect_hide_what_is_below(options: MountOptions) -> None:
    with Union(options) as union:
        assert union.listdir() == [b"attribute", b"dir", b"opaque"]
        assert union.listdir("dir") == [b"shown"]
        assert union.listdir("opaque") == union.listdir("attribute") == []
        assert not union.exists("dir/hidden")
        assert not union.exists("opaque/.wh..wh..opq")
        assert union.listxattr("dir/shown") == []
        assert {presence.kind for presence in union.all("gone")} == {"whiteout", "directory"}


def test_what_is_written_over_a_foreign_mark_is_overlayfs(options: MountOptions, tmp_path: Path) -> None:
    with Union(options) as union:
        union.mkdir("gone")
        assert union.listdir("gone") == []
        os.close(union.open("file", os.O_CREAT | os.O_WRONLY))
        union.rename("dir", "moved")
        union.unlink("file")
        union.rmdir("opaque")
    upper = tmp_path / "upper"
    assert not list(upper.glob("**/.wh.gone"))
    for name in ("file", "opaque", "dir"):
        status = os.lstat(upper / name)
        assert stat.S_ISCHR(status.st_mode)
        assert status.st_rdev == 0
    with Union(options) as union:
        assert union.listdir() == [b"attribute", b"gone", b"moved"]
        assert union.listdir("gone") == []
        assert union.listdir("moved") == [b"shown"]


def test_foreign_marks_that_hide_nothing_are_mended(options: MountOptions, tmp_path: Path) -> None:
    (tmp_path / "upper/dir/.wh.nothing").touch()
    [finding] = findings(options)
    assert (finding.kind, finding.path) == ("whiteout", f"{tmp_path}/upper/dir/.wh.nothing")
    repair(finding)
    assert list(findings(options)) == []


def test_names_and_attributes_of_the_dialects_are_refused(options: MountOptions) -> None:
    with Union(options) as union:
        with pytest.raises(PermissionError):
            union.mkdir(".wh.name")
        with pytest.raises(OSError, match="not supported") as refused:
            union.setxattr("dir", "user.fuseoverlayfs.opaque", b"y")
        assert refused.value.errno == errno.EOPNOTSUPP


def test_a_directory_has_a_link_for_each_subdirectory_or_always_one(options: MountOptions) -> None:
    with Union(options) as union:
        assert union.lstat("").st_nlink == 5
        union.mkdir("dir/new")
        assert union.lstat("dir").st_nlink == 3
    with Union(options._replace(static_nlink=True)) as union:
        assert union.lstat("dir").st_nlink == 1


def test_owners_are_translated_both_ways() -> None:
    users = IdMap(ranges=(IdRange(0, 1000, 1), IdRange(1, 110000, 65536)))
    assert [users.shown(number) for number in (0, 1, 65536, 65537)] == [1000, 110000, 175535, 65534]
    assert [users.stored(number) for number in (1000, 110000, 175535)] == [0, 1, 65536]
    with pytest.raises(OSError, match="too large") as refused:
        users.stored(0)
    assert refused.value.errno == errno.EOVERFLOW
    assert IdMap(squash=7).shown(5) == 7
    assert Owners.of(MountOptions(())).plain


def test_a_union_shows_translated_owners(options: MountOptions) -> None:
    user = os.geteuid()
    with Union(options._replace(uid_mapping=(IdRange(user, 1000, 1),), squash_gid=2000)) as union:
        status = union.lstat("dir/shown")
        assert (status.st_uid, status.st_gid) == (1000, 2000)
