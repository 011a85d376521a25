"""Copying files into a tree: owner, mode and times, whatever the process and the directory would give a new file."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from lamina.builder.copying import Copier, Manner
from lamina.builder.tree import Tree

MODES = (0o644, 0o755, 0o600, 0o666, 0o777, 0o4755, 0o2711, 0o000)


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o027)
    yield
    os.umask(before)


def _copied(source: Path, target: Path) -> None:
    tree = Tree(str(source), owned=False)
    root = os.open(target, os.O_RDONLY | os.O_DIRECTORY)
    copier = Copier(root, Manner((os.geteuid(), os.getegid())))
    try:
        copier.copy_content(tree, root)
    finally:
        copier.close()
        os.close(root)
        tree.close()


def _tree(source: Path) -> None:
    (source / "directory").mkdir(parents=True)
    for mode in MODES:
        for path in (source / f"{mode:o}", source / "directory" / f"{mode:o}"):
            path.write_text("content")
            path.chmod(mode)
            os.utime(path, ns=(1_600_000_000_500_000_000, 1_600_000_000_500_000_000))


def _check(target: Path) -> None:
    for mode in MODES:
        for path in (target / f"{mode:o}", target / "directory" / f"{mode:o}"):
            status = path.lstat()
            assert stat.S_IMODE(status.st_mode) == mode
            assert (status.st_uid, status.st_gid) == (os.geteuid(), os.getegid())
            assert status.st_mtime_ns == 1_600_000_000 * 10**9


@pytest.mark.skipif(os.geteuid() != 0, reason="reads a file of mode 0")
@pytest.mark.usefixtures("umask")
def test_files_keep_their_modes_whatever_the_umask(tmp_path: Path) -> None:
    _tree(tmp_path / "source")
    (tmp_path / "target").mkdir()
    _copied(tmp_path / "source", tmp_path / "target")
    _check(tmp_path / "target")


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a directory to another group")
def test_a_directory_that_hands_its_group_on_changes_nothing(tmp_path: Path) -> None:
    _tree(tmp_path / "source")
    (tmp_path / "target").mkdir()
    os.chown(tmp_path / "target", 0, 4321)
    (tmp_path / "target").chmod(0o2775)
    _copied(tmp_path / "source", tmp_path / "target")
    _check(tmp_path / "target")


@pytest.mark.skipif(os.geteuid() != 0, reason="reads a file of mode 0")
def test_files_that_are_there_are_replaced(tmp_path: Path) -> None:
    _tree(tmp_path / "source")
    (tmp_path / "target").mkdir()
    for mode in MODES:
        (tmp_path / "target" / f"{mode:o}").write_text("before")
    _copied(tmp_path / "source", tmp_path / "target")
    _check(tmp_path / "target")
    assert (tmp_path / "target" / "644").read_text() == "content"
