"""The data root: layout, locks, and keeping out of a dockerd's way."""

from __future__ import annotations

import fcntl
import os
import stat
import threading
from pathlib import Path

import pytest

from lamina.dataroot import DataRoot, ReadOnlyRoot, RootInUse
from lamina.errors import NotFound


@pytest.fixture
def root(tmp_path: Path) -> DataRoot:
    return DataRoot.open(str(tmp_path / "root"), driver="vfs")


@pytest.mark.parametrize(
    ("path", "mode"),
    [
        ("", 0o710),
        ("image", 0o700),
        ("image/vfs/imagedb/content/sha256", 0o700),
        ("image/vfs/layerdb", 0o700),
        ("image/vfs/layerdb/sha256", 0o755),
        ("image/vfs/layerdb/mounts", 0o755),
        ("containers", 0o710),
        ("volumes", 0o701),
        ("tmp", 0o700),
        ("lamina", 0o700),
    ],
)
def test_directories_have_the_modes_that_dockerd_gives_them(root: DataRoot, path: str, mode: int) -> None:
    assert stat.S_IMODE(os.stat(root.sub(path)).st_mode) == mode


def test_the_umask_does_not_change_modes(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        root = DataRoot.open(str(tmp_path / "root"), driver="vfs")
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(root.sub("volumes")).st_mode) == 0o701


def test_a_root_that_must_exist_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        DataRoot.open(str(tmp_path / "absent"), create=False)
    assert not (tmp_path / "absent").exists()


@pytest.fixture
def dockerd_lock(root: DataRoot) -> int:
    """What a running dockerd holds."""
    descriptor = os.open(root.sub("volumes/metadata.db"), os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def test_nothing_is_written_while_a_dockerd_runs(root: DataRoot, dockerd_lock: int) -> None:
    assert root.read_only
    with pytest.raises(RootInUse, match="in use by a running dockerd"):
        root.require_writable()
    with pytest.raises(RootInUse), root.lock("store"):
        pass
    with pytest.raises(RootInUse), root.writing():
        pass
    os.close(dockerd_lock)
    assert not root.read_only
    with root.lock("store"):
        pass


def test_a_dockerd_cannot_start_while_something_is_written(root: DataRoot, dockerd_lock: int) -> None:
    fcntl.flock(dockerd_lock, fcntl.LOCK_UN)
    with root.writing(), root.writing():
        with pytest.raises(BlockingIOError):
            fcntl.flock(dockerd_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.flock(dockerd_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(dockerd_lock)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_root_without_rights_can_only_be_read(root: DataRoot) -> None:
    os.chmod(root.path, 0o500)
    with pytest.raises(ReadOnlyRoot):
        root.require_writable()


def test_a_lock_is_taken_again_by_the_thread_that_has_it(root: DataRoot) -> None:
    with root.lock("store"):
        with root.lock("store"):
            assert root.holds("store")
        assert root.holds("store")
    assert not root.holds("store")


def test_a_lock_excludes_other_threads(root: DataRoot) -> None:
    order: list[str] = []

    def other() -> None:
        with root.lock("store"):
            order.append("second")

    thread = threading.Thread(target=other)
    with root.lock("store"):
        thread.start()
        thread.join(0.1)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_a_lock_excludes_other_processes_and_ends_with_its_owner(root: DataRoot) -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        with root.lock("store"):
            os.write(writing, b"x")
            while True:
                threading.Event().wait(10)
    assert os.read(reading, 1) == b"x"
    descriptor = os.open(root.sub("lamina/locks/store"), os.O_RDWR)
    with pytest.raises(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.kill(child, 9)
    os.waitpid(child, 0)
    with root.lock("store"):
        pass
    for end in (reading, writing, descriptor):
        os.close(end)
