"""The union as a library: what shows, what is written where, and where things come from."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from lamina.errors import Conflict, InvalidArgument, Unsupported
from lamina.linux.files import RENAME_EXCHANGE, RENAME_NOREPLACE, RENAME_WHITEOUT
from lamina.unionfs.options import Dialect, MountOptions
from lamina.unionfs.union import Union


@pytest.fixture
def options(tmp_path: Path) -> MountOptions:
    """Two lower layers that share a directory and a file in it."""
    for name in ("top/dir/one", "bottom/dir/two", "bottom/other", "upper", "work"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "top/dir/file").write_text("from the top")
    (tmp_path / "bottom/dir/file").write_text("from the bottom")
    (tmp_path / "bottom/dir/below").write_text("only below")
    (tmp_path / "bottom/dir/link").symlink_to("below")
    lowers = (f"{tmp_path}/top", f"{tmp_path}/bottom")
    return MountOptions(lowers, f"{tmp_path}/upper", f"{tmp_path}/work", userxattr=True, redirect_dir="on")


def aufs(options: MountOptions) -> MountOptions:
    return options._replace(dialect=Dialect.AUFS, workdir=None)


def read(union: Union, path: str) -> bytes:
    descriptor = union.open(path)
    try:
        return os.read(descriptor, 1000)
    finally:
        os.close(descriptor)


def write(union: Union, path: str, data: bytes, flags: int = os.O_CREAT | os.O_WRONLY) -> None:
    descriptor = union.open(path, flags)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)


def upper(options: MountOptions) -> Path:
    assert options.upperdir is not None
    return Path(options.upperdir)


def test_directories_merge_and_the_top_file_shows(options: MountOptions) -> None:
    with Union(options) as union:
        assert union.listdir("dir") == [b"below", b"file", b"link", b"one", b"two"]
        assert read(union, "dir/file") == b"from the top"
        assert union.readlink("dir/link") == b"below"


def test_every_entry_says_where_it_comes_from(options: MountOptions) -> None:
    with Union(options) as union:
        union.chmod("dir/below", 0o600)
        union.unlink("dir/link")
        origin = union.which("dir/file")
        assert (origin.layer, origin.reason) == (1, "hides layer 2")
        assert union.which("dir").reason == "merged with layer 1, 2"
        assert union.which("dir/below").reason == "hides layer 2"
        whiteout, hidden = union.all("dir/link")
        assert (whiteout.layer, whiteout.kind) == (0, "whiteout")
        assert (hidden.layer, hidden.visible, hidden.why) == (2, False, "hidden by the whiteout in layer 0")


@pytest.mark.parametrize("dialect", [Dialect.OVERLAY, Dialect.AUFS])
def test_what_is_removed_stays_removed_and_what_is_made_again_is_new(options: MountOptions, dialect: Dialect) -> None:
    options = options if dialect is Dialect.OVERLAY else aufs(options)
    with Union(options) as union:
        union.unlink("dir/file")
        union.rmdir("dir/two")
        union.mkdir("dir/two", 0o750)
        write(union, "dir/file", b"new")
    with Union(options) as union:
        assert read(union, "dir/file") == b"new"
        assert union.listdir("dir/two") == []
        assert union.listdir("dir") == [b"below", b"file", b"link", b"one", b"two"]


def test_aufs_hides_by_names_of_its_own_which_nobody_may_use(options: MountOptions) -> None:
    with Union(aufs(options)) as union:
        union.unlink("dir/below")
        assert (upper(options) / "dir/.wh.below").exists()
        with pytest.raises(PermissionError):
            write(union, "dir/.wh.x", b"")
        with pytest.raises(OSError, match="cross-device") as failed:
            union.rename("dir", "elsewhere")
        assert failed.value.errno == errno.EXDEV


def test_copy_up_keeps_mode_times_attributes_holes_and_the_inode_number(options: MountOptions, tmp_path: Path) -> None:
    sparse = tmp_path / "bottom/dir/sparse"
    with sparse.open("wb") as file:
        file.truncate(10 << 20)
        file.seek(5 << 20)
        file.write(b"data")
    sparse.chmod(0o4711)
    os.setxattr(sparse, "user.color", b"green")
    os.utime(sparse, ns=(1_000_000_001, 2_000_000_002))
    with Union(options) as union:
        before = union.lstat("dir/sparse")
        union.copy_up("dir/sparse")
        after = union.lstat("dir/sparse")
        assert after._replace(st_ctime_ns=0) == before._replace(st_ctime_ns=0)
        assert union.getxattr("dir/sparse", "user.color") == b"green"
        assert union.listxattr("dir/sparse") == ["user.color"]
    with Union(options) as union:
        assert union.lstat("dir/sparse").st_ino == before.st_ino
    assert (upper(options) / "dir/sparse").stat().st_blocks < 1000


def test_a_copied_up_files_directory_keeps_its_times(options: MountOptions, tmp_path: Path) -> None:
    os.utime(tmp_path / "top/dir", ns=(5_000_000_000, 6_000_000_000))
    with Union(options) as union:
        union.copy_up("dir/file")
        assert union.lstat("dir").st_mtime_ns == 6_000_000_000


def test_a_merged_directory_is_renamed_by_a_redirect(options: MountOptions) -> None:
    with Union(options) as union:
        union.rename("dir", "moved")
        union.mkdir("dir")
        union.rename("moved", "other/deep")
        write(union, "other/deep/new", b"x")
    with Union(options) as union:
        assert union.listdir() == [b"dir", b"other"]
        assert union.listdir("dir") == []
        assert union.listdir("other/deep") == [b"below", b"file", b"link", b"new", b"one", b"two"]
        assert "redirected to /dir" in union.which("other/deep").reason
    assert os.getxattr(upper(options) / "other/deep", "user.overlay.redirect") == b"/dir"


def test_without_redirects_a_merged_directory_stays_where_it_is(options: MountOptions) -> None:
    with Union(options._replace(redirect_dir="off")) as union, pytest.raises(OSError, match="cross-device"):
        union.rename("dir", "moved")


def test_where_the_kernel_follows_no_redirects_none_are_written(options: MountOptions) -> None:
    with Union(options._replace(redirect_dir=None)) as union, pytest.raises(OSError, match="cross-device"):
        union.rename("dir", "moved")


def test_redirects_that_are_not_followed_are_an_error(options: MountOptions) -> None:
    with Union(options) as union:
        union.rename("dir", "moved")
    with Union(options._replace(redirect_dir="nofollow")) as union, pytest.raises(PermissionError, match="nofollow"):
        union.listdir("moved")


def test_a_redirect_that_leads_outside_is_refused(options: MountOptions) -> None:
    (upper(options) / "evil").mkdir()
    os.setxattr(upper(options) / "evil", "user.overlay.redirect", b"/../../etc")
    with Union(options) as union, pytest.raises(OSError, match="invalid redirect"):
        union.listdir("evil")


def test_names_are_exchanged_kept_and_hidden_by_flags(options: MountOptions) -> None:
    with Union(options) as union:
        union.rename("dir", "other", RENAME_EXCHANGE)
        assert union.listdir("dir") == []
        assert b"below" in union.listdir("other")
        with pytest.raises(FileExistsError):
            union.rename("other/file", "other/below", RENAME_NOREPLACE)
        union.rename("other/file", "other/third", RENAME_WHITEOUT)
        assert not union.exists("other/file")
    status = os.lstat(upper(options) / "other/file")
    assert stat.S_ISCHR(status.st_mode)
    assert status.st_rdev == 0


def test_errors_are_the_kernels(options: MountOptions) -> None:
    with Union(options) as union:
        for number, call in (
            (errno.ENOTEMPTY, lambda: union.rmdir("dir")),
            (errno.ENOTDIR, lambda: union.rmdir("dir/file")),
            (errno.EISDIR, lambda: union.unlink("dir")),
            (errno.EEXIST, lambda: union.mkdir("dir/two")),
            (errno.ENOENT, lambda: union.unlink("dir/nothing")),
            (errno.EINVAL, lambda: union.rename("dir", "dir/one/inside")),
            (errno.ENOTDIR, lambda: union.listdir("dir/file/x")),
            (errno.EPERM, lambda: union.mknod("device", stat.S_IFCHR | 0o600, 0)),
            (errno.EOPNOTSUPP, lambda: union.chmod("dir/link", 0o600)),
        ):
            with pytest.raises(OSError, match=os.strerror(number)):
                call()


def test_the_unions_own_marks_are_hidden_and_a_users_are_escaped(options: MountOptions) -> None:
    with Union(options) as union:
        union.rename("dir", "moved")
        assert union.listxattr("moved") == []
        union.setxattr("moved", "user.overlay.opaque", b"mine")
        assert union.listxattr("moved") == ["user.overlay.opaque"]
        assert union.getxattr("moved", "user.overlay.opaque") == b"mine"
        assert union.listdir("moved") != []
    assert os.getxattr(upper(options) / "moved", "user.overlay.overlay.opaque") == b"mine"


def test_hard_links_of_upper_files_are_one_file(options: MountOptions) -> None:
    with Union(options) as union:
        union.link("dir/below", "again")
        assert union.lstat("again").st_nlink == 2
        union.unlink("dir/below")
        write(union, "again", b"changed", os.O_WRONLY | os.O_TRUNC)
        assert read(union, "again") == b"changed"


def test_paths_longer_than_the_kernel_takes_work(options: MountOptions) -> None:
    name = b"d" * 250
    deep = b"/".join([name] * 20)
    with Union(options) as union:
        for depth in range(1, 21):
            union.mkdir(b"/".join([name] * depth))
        write(union, os.fsdecode(deep + b"/file"), b"deep")
        union.rename(name, b"dir/x")
        moved = b"dir/x/" + b"/".join([name] * 19)
        assert read(union, os.fsdecode(moved + b"/file")) == b"deep"
        union.unlink(moved + b"/file")
        for depth in range(19, 0, -1):
            union.rmdir(b"dir/x/" + b"/".join([name] * depth))
        union.rmdir(b"dir/x")


def test_nothing_changes_without_an_upper_directory(options: MountOptions) -> None:
    for changed in (options._replace(upperdir=None, workdir=None), options._replace(read_only=True)):
        with Union(changed) as union:
            assert read(union, "dir/file") == b"from the top"
            with pytest.raises(OSError, match="Read-only"):
                union.unlink("dir/file")
            with pytest.raises(OSError, match="Read-only"):
                union.chmod("dir/file", 0o600)


def test_a_work_directory_serves_one_union_and_is_emptied(options: MountOptions, tmp_path: Path) -> None:
    (tmp_path / "work/work/left/over").mkdir(parents=True)
    with Union(options):
        assert os.listdir(tmp_path / "work/work") == []
        with pytest.raises(Conflict, match="in use"):
            Union(options)
    Union(options).close()


def test_what_can_not_be_mounted_says_why(options: MountOptions) -> None:
    with pytest.raises(InvalidArgument, match="workdir"):
        Union(options._replace(workdir=None))
    with pytest.raises(InvalidArgument, match="not a directory"):
        Union(options._replace(lowerdirs=("/nowhere",)))
    with pytest.raises(Unsupported, match="index"):
        Union(options._replace(inode_index=True))
