"""Copies are whole and leave no traces of how they were made."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from lamina.graphdriver.treecopy import copy_tree
from support.rights import as_nobody
from support.stacks import snapshot


def copied(tmp_path: Path, source: Path) -> Path:
    target = tmp_path / "target"
    target.mkdir()
    copy_tree(str(source), str(target))
    return target


def test_hard_links_across_directories_stay_and_no_folder_for_them_remains(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "a" / "b").mkdir(parents=True)
    (source / "one").write_text("x")
    os.link(source / "one", source / "a" / "b" / "two")
    (source / "link").symlink_to("nowhere")
    os.link(source / "link", source / "a" / "link", follow_symlinks=False)
    target = copied(tmp_path, source)
    assert snapshot(str(target)) == snapshot(str(source))
    assert (target / "one").stat().st_ino == (target / "a" / "b" / "two").stat().st_ino
    assert (target / "one").stat().st_nlink == 2


def test_the_top_directorys_own_mode_times_and_attributes_are_copied(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").touch()
    os.setxattr(source, "user.note", b"top")
    source.chmod(0o1750)
    os.utime(source, ns=(1, 123_456_789))
    target = copied(tmp_path, source)
    assert target.stat().st_mode == source.stat().st_mode
    assert target.stat().st_mtime_ns == 123_456_789
    assert os.getxattr(target, "user.note") == b"top"


def test_sockets_fifos_and_empty_directories_are_copied(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "empty").mkdir(parents=True)
    os.mkfifo(source / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        here = os.getcwd()
        os.chdir(source)  # socket paths are short
        try:
            server.bind("socket")
        finally:
            os.chdir(here)
    assert snapshot(str(copied(tmp_path, source))) == snapshot(str(source))


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "a" / "b").mkdir(parents=True)
    (source / "a" / "file").touch()
    before = len(os.listdir("/proc/self/fd"))
    copied(tmp_path, source)
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_forbids_its_owner_to_read_is_copied_without_root_and_stays_forbidden(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "closed" / "deeper").mkdir(parents=True)
    target.mkdir()
    (source / "closed" / "deeper" / "shadow").write_text("secret")
    for path, mode in (("closed/deeper/shadow", 0), ("closed/deeper", 0o111), ("closed", 0)):
        (source / path).chmod(mode)
    if os.geteuid() == 0:
        as_nobody(tmp_path, lambda: copy_tree(str(source), str(target)))
        assert snapshot(str(target)) == snapshot(str(source))
    else:
        copy_tree(str(source), str(target))
    for tree in (source, target):
        assert (tree / "closed").stat().st_mode & 0o777 == 0
