"""What a stack shows after changes: containerd's snapshot suite and the layering bugs that it remembers."""

from __future__ import annotations

import os
import shutil
import stat

import pytest

from lamina.graphdriver.contract import DiffForm
from support.stacks import Stacks, read, snapshot, write


def populate(root: str) -> None:
    for directory in ("etc", "usr/bin", "var/lib/empty"):
        os.makedirs(f"{root}/{directory}")
    write(f"{root}/etc/hosts", "127.0.0.1 localhost")
    write(f"{root}/etc/profile", "PATH=/usr/bin")
    write(f"{root}/usr/bin/tool", "binary", 0o755)
    os.symlink("tool", f"{root}/usr/bin/link")


def test_a_changed_file_changes_only_above(stacks: Stacks) -> None:
    bottom = stacks.layer(None, populate)
    before = stacks.tree(bottom)
    middle = stacks.layer(bottom, lambda root: write(f"{root}/etc/hosts", "127.0.0.2 localhost"))
    top = stacks.layer(middle, lambda root: write(f"{root}/etc/profile", "PATH=/usr/bin:/bin"))
    assert stacks.tree(top)["etc/hosts"].content == b"127.0.0.2 localhost"
    assert stacks.tree(top)["etc/profile"].content == b"PATH=/usr/bin:/bin"
    assert stacks.tree(middle)["etc/profile"].content == b"PATH=/usr/bin"
    assert stacks.tree(bottom) == before


def test_parents_look_the_same_after_everything_that_a_child_does(stacks: Stacks) -> None:
    bottom = stacks.layer(None, populate)
    diff = stacks.driver.diff_path(bottom)
    before = snapshot(diff)
    times = {name: os.lstat(f"{diff}/{name}").st_mtime_ns for name in before}

    def disturb(root: str) -> None:
        write(f"{root}/etc/hosts", "changed")
        os.chmod(f"{root}/usr/bin/tool", 0o4755)
        os.rename(f"{root}/etc/profile", f"{root}/etc/renamed")
        shutil.rmtree(f"{root}/var")
        os.link(f"{root}/usr/bin/tool", f"{root}/usr/bin/tool2")
        os.utime(f"{root}/usr", (1, 1))

    stacks.layer(bottom, disturb)
    assert snapshot(diff) == before
    assert {name: os.lstat(f"{diff}/{name}").st_mtime_ns for name in before} == times


def test_a_deleted_file_stays_deleted_in_layers_above(stacks: Stacks) -> None:
    bottom = stacks.layer(None, populate)
    middle = stacks.layer(bottom, lambda root: os.unlink(f"{root}/etc/hosts"))
    top = stacks.layer(stacks.layer(middle, lambda root: write(f"{root}/other")))
    assert "etc/hosts" not in stacks.tree(top)
    assert "etc/profile" in stacks.tree(top)
    again = stacks.layer(top, lambda root: write(f"{root}/etc/hosts", "new"))
    assert stacks.tree(again)["etc/hosts"].content == b"new"


def test_a_directory_removed_and_made_again_is_empty(stacks: Stacks) -> None:
    bottom = stacks.layer(None, populate)

    def renew(root: str) -> None:
        shutil.rmtree(f"{root}/etc")
        os.mkdir(f"{root}/etc")

    middle = stacks.layer(bottom, renew)
    top = stacks.layer(middle, lambda root: write(f"{root}/etc/new"))
    assert [name for name in stacks.tree(middle) if name.startswith("etc")] == ["etc"]
    assert sorted(name for name in stacks.tree(top) if name.startswith("etc")) == ["etc", "etc/new"]


def test_a_directory_that_only_a_lower_layer_has_can_be_removed_in_one_above(stacks: Stacks) -> None:
    bottom = stacks.layer(None, populate)
    middle = stacks.layer(bottom, lambda root: shutil.rmtree(f"{root}/var/lib"))
    top = stacks.layer(middle, lambda root: os.rmdir(f"{root}/var"))
    assert not [name for name in stacks.tree(top) if name.startswith("var")]


def test_a_directory_can_become_a_file_and_a_directory_again(stacks: Stacks) -> None:
    bottom = stacks.layer(None, populate)

    def to_file(root: str) -> None:
        shutil.rmtree(f"{root}/etc")
        write(f"{root}/etc", "now a file")

    def to_directory(root: str) -> None:
        os.unlink(f"{root}/etc")
        os.mkdir(f"{root}/etc", 0o700)
        write(f"{root}/etc/third")

    middle = stacks.layer(bottom, to_file)
    top = stacks.layer(middle, to_directory)
    assert stacks.tree(middle)["etc"].content == b"now a file"
    assert sorted(name for name in stacks.tree(top) if name.startswith("etc")) == ["etc", "etc/third"]
    assert stacks.tree(top)["etc"].mode == 0o700


def test_a_file_can_become_a_symbolic_link_and_a_directory_one_too(stacks: Stacks) -> None:
    bottom = stacks.layer(None, populate)

    def relink(root: str) -> None:
        os.unlink(f"{root}/etc/hosts")
        os.symlink("profile", f"{root}/etc/hosts")
        shutil.rmtree(f"{root}/var")
        os.symlink("usr", f"{root}/var")

    top = stacks.layer(bottom, relink)
    with stacks.mounted(top, read_only=True) as root:
        assert read(f"{root}/etc/hosts") == "PATH=/usr/bin"
        assert os.listdir(f"{root}/var") == ["bin"]


def test_a_renamed_file_moves_and_keeps_content(stacks: Stacks) -> None:
    bottom = stacks.layer(None, populate)

    def move(root: str) -> None:
        os.rename(f"{root}/etc/hosts", f"{root}/usr/bin/hosts")

    tree = stacks.tree(stacks.layer(stacks.layer(bottom, move)))
    assert "etc/hosts" not in tree
    assert tree["usr/bin/hosts"].content == b"127.0.0.1 localhost"


def test_a_directory_of_a_lower_layer_can_be_moved_as_mv_does(stacks: Stacks) -> None:
    bottom = stacks.layer(None, populate)
    top = stacks.layer(bottom, lambda root: shutil.move(f"{root}/usr", f"{root}/opt"))
    tree = stacks.tree(stacks.layer(top))
    assert tree["opt/bin/tool"].mode == 0o755
    assert "usr" not in tree


def test_a_new_directory_can_be_renamed_over_a_removed_one(stacks: Stacks) -> None:
    bottom = stacks.layer(None, populate)

    def replace(root: str) -> None:
        os.mkdir(f"{root}/staging")
        write(f"{root}/staging/only")
        shutil.rmtree(f"{root}/etc")
        os.rename(f"{root}/staging", f"{root}/etc")

    tree = stacks.tree(stacks.layer(bottom, replace))
    assert sorted(name for name in tree if name.startswith("etc")) == ["etc", "etc/only"]


@pytest.mark.root
def test_chown_alone_keeps_content_and_mode(stacks: Stacks) -> None:
    bottom = stacks.layer(None, populate)

    def chown(root: str) -> None:
        os.chown(f"{root}/usr/bin/tool", 1001, 1002)
        os.chown(f"{root}/etc", 1003, 1004)
        os.lchown(f"{root}/usr/bin/link", 1005, 1006)

    tree = stacks.tree(stacks.layer(stacks.layer(bottom, chown)))
    assert tree["usr/bin/tool"].owner == (1001, 1002)
    assert tree["usr/bin/tool"].content == b"binary"
    assert tree["usr/bin/tool"].mode == 0o755
    assert tree["etc"].owner == (1003, 1004)
    assert tree["etc/hosts"].owner == (0, 0)
    assert tree["usr/bin/link"].owner == (1005, 1006)


def test_chmod_alone_keeps_content(stacks: Stacks) -> None:
    bottom = stacks.layer(None, populate)
    tree = stacks.tree(stacks.layer(bottom, lambda root: os.chmod(f"{root}/etc/hosts", 0o2600)))
    assert tree["etc/hosts"].mode == 0o2600
    assert tree["etc/hosts"].content == b"127.0.0.1 localhost"


def test_hard_links_stay_links(stacks: Stacks) -> None:
    def link(root: str) -> None:
        for name in ("two", "three"):
            os.link(f"{root}/usr/bin/tool", f"{root}/{name}")

    bottom = stacks.layer(None, populate, link)
    top = stacks.layer(bottom)
    with stacks.mounted(top) as root:
        assert os.stat(f"{root}/two").st_ino == os.stat(f"{root}/usr/bin/tool").st_ino
        assert os.stat(f"{root}/three").st_nlink == 3


@pytest.mark.root
def test_special_files_and_attributes_survive(stacks: Stacks) -> None:
    def special(root: str) -> None:
        os.mknod(f"{root}/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        os.chmod(f"{root}/null", 0o666)
        os.mknod(f"{root}/disk", stat.S_IFBLK | 0o640, os.makedev(8, 0))
        os.mkfifo(f"{root}/fifo", 0o620)
        write(f"{root}/ping", "x", 0o755)
        os.setxattr(f"{root}/ping", "security.capability", b"\1\0\0\2\0 \0\0\0\0\0\0\0\0\0\0\0\0\0\0")
        os.setxattr(f"{root}/ping", "user.note", b"\0binary\xff")
        os.mkdir(f"{root}/attributed")
        os.setxattr(f"{root}/attributed", "trusted.note", b"t")
        os.symlink("nowhere", f"{root}/dangling")

    bottom = stacks.layer(None, special)
    expected = snapshot(stacks.driver.diff_path(bottom))
    assert stacks.tree(stacks.layer(stacks.layer(bottom))) == expected
    assert expected["null"].content == b"1:3"


def test_times_survive_to_the_nanosecond(stacks: Stacks) -> None:
    moment = 1_234_567_890_123_456_789

    def touch(root: str) -> None:
        populate(root)
        os.utime(f"{root}/usr/bin/link", ns=(moment, moment + 1), follow_symlinks=False)
        os.utime(f"{root}/etc/hosts", ns=(moment, moment + 2))
        os.utime(f"{root}/var/lib/empty", ns=(moment, moment + 3))

    top = stacks.layer(stacks.layer(None, touch))
    with stacks.mounted(top, read_only=True) as root:
        assert os.lstat(f"{root}/usr/bin/link").st_mtime_ns == moment + 1
        assert os.stat(f"{root}/etc/hosts").st_mtime_ns == moment + 2
        assert os.stat(f"{root}/var/lib/empty").st_mtime_ns == moment + 3


def test_a_walk_agrees_with_what_stat_says(stacks: Stacks) -> None:
    middle = stacks.layer(stacks.layer(None, populate), lambda root: write(f"{root}/etc/new"))
    with stacks.mounted(stacks.layer(middle)) as root:
        for directory, _, _ in os.walk(root):
            with os.scandir(directory) as entries:
                for entry in entries:
                    assert entry.stat(follow_symlinks=False).st_ino == os.lstat(entry.path).st_ino
                    assert entry.is_dir(follow_symlinks=False) == stat.S_ISDIR(os.lstat(entry.path).st_mode)


def test_names_of_any_bytes_and_of_full_length_survive_deletion(stacks: Stacks) -> None:
    names = [os.fsdecode(b"\xff\xfe"), "new\nline", "x" * 255, "back\\slash", ".wh.ordinary"]
    if stacks.driver.form is DiffForm.AUFS:  # its marks are files of these names, four bytes longer
        names = [name[:251] for name in names if not name.startswith(".wh.")]

    def make(root: str) -> None:
        for name in names:
            write(f"{root}/{name}")

    bottom = stacks.layer(None, make)
    assert set(stacks.tree(stacks.layer(bottom))) == set(names)

    def delete(root: str) -> None:
        for name in names:
            os.unlink(f"{root}/{name}")

    assert stacks.tree(stacks.layer(bottom, delete)) == {}


def test_two_containers_of_one_image_share_nothing_that_they_write(stacks: Stacks) -> None:
    image = stacks.layer(None, populate)
    with stacks.container(image) as one, stacks.container(image) as two:
        write(f"{one}/etc/hosts", "one")
        os.unlink(f"{one}/etc/profile")
        write(f"{two}/mine")
        assert read(f"{two}/etc/hosts") == "127.0.0.1 localhost"
        assert os.path.exists(f"{two}/etc/profile")
        assert not os.path.exists(f"{one}/mine")


def test_only_the_difference_is_stored_by_an_overlay(stacks: Stacks) -> None:
    if stacks.driver.form is DiffForm.SNAPSHOT:
        pytest.skip("a snapshot driver stores whole trees")
    bottom = stacks.layer(None, populate)

    def change(root: str) -> None:
        write(f"{root}/etc/hosts", "changed")
        os.unlink(f"{root}/etc/profile")

    top = stacks.layer(bottom, change)
    stored = snapshot(stacks.driver.diff_path(top))
    if stacks.driver.form is DiffForm.AUFS:
        assert set(stored) == {"etc", "etc/hosts", "etc/.wh.profile"}
        return
    assert set(stored) == {"etc", "etc/hosts", "etc/profile"}
    assert stored["etc/profile"].kind == stat.S_IFCHR
    assert stored["etc/profile"].content == b"0:0"


def test_sparse_files_do_not_grow(stacks: Stacks) -> None:
    def make(root: str) -> None:
        with open(f"{root}/sparse", "wb") as file:
            file.truncate(64 << 20)
            file.seek(32 << 20)
            file.write(b"middle")

    with stacks.mounted(stacks.layer(stacks.layer(None, make)), read_only=True) as root:
        status = os.stat(f"{root}/sparse")
        assert status.st_size == 64 << 20
        assert status.st_blocks * 512 < 1 << 20
        with open(f"{root}/sparse", "rb") as file:
            file.seek(32 << 20)
            assert file.read(8) == b"middle\0\0"
