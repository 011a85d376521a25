"""Volumes come to exist and go as a whole."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from lamina.dataroot import DataRoot
from lamina.volume import store as volumes
from lamina.volume.store import NoSuchVolume, VolumeStore
from support.storage import CHANGING, Fault, in_child, open_storage


@pytest.fixture
def root(tmp_path: Path) -> DataRoot:
    return open_storage(str(tmp_path / "root"), "vfs").root


def names(root: DataRoot) -> list[str]:
    return [volume.name for volume in VolumeStore(root).all()]


def test_a_volume_that_can_not_be_made_leaves_nothing(root: DataRoot) -> None:
    VolumeStore(root).create("other")
    for number in range(1, 100):
        fault = Fault(number, errno.ENOSPC, ("mkdir", "open", "rename", "write"))
        status = in_child(lambda: VolumeStore(root).create("new"), fault)
        if not status:
            break
        assert fault.happened
        assert sorted(os.listdir(root.sub("volumes"))) == ["other"]
    assert number > 3
    assert names(root) == ["new", "other"]


def test_a_volume_whose_removal_is_killed_is_there_or_not(root: DataRoot) -> None:
    for number in range(1, 100):
        volume, _ = VolumeStore(root).create("volume")
        for name in "abc":
            Path(volume.path, name).touch()
        fault = Fault(number, None, CHANGING)
        status = in_child(lambda: VolumeStore(root).remove("volume", []), fault)
        if names(root):
            assert sorted(os.listdir(volume.path)) == ["a", "b", "c"]
        else:
            assert os.listdir(root.sub("volumes")) == []
        open_storage(root.path)
        assert os.listdir(root.sub("lamina/trash")) == []
        if not status:
            break
    assert number > 3
    assert names(root) == []


def test_a_volume_on_another_file_system_than_the_trash_goes_too(
    root: DataRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    VolumeStore(root).create("volume")

    def refuse(source: str, target: str) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), source)

    monkeypatch.setattr(volumes.os, "rename", refuse)
    VolumeStore(root).remove("volume", [])
    assert os.listdir(root.sub("volumes")) == []


def test_a_volume_exists_with_its_own_mode_or_not_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    store = VolumeStore(DataRoot.open(str(tmp_path / "root")))

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    before = os.umask(0o077)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(os, "chmod", killed)
            with pytest.raises(KeyboardInterrupt):
                store.create("made")
        with pytest.raises(NoSuchVolume):
            store.get("made")
        volume, is_new = store.create("made")
    finally:
        os.umask(before)
    assert is_new
    assert Path(volume.path).stat().st_mode & 0o777 == 0o755
    assert sorted(os.listdir(Path(volume.path).parent)) == ["_data", "lamina.json"]
