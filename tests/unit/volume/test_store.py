"""Volumes as directories of the data root."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lamina.dataroot import DataRoot
from lamina.volume.store import NoSuchVolume, VolumeStore


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
