"""What of a new container is on disk when it exists."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import lamina
from support import programs
from support.command import Lamina

#: What nobody needs after a power cut, and the directory in which all files are made before the container exists.
_OTHERS = ("/lamina/", "/diff/")


@pytest.mark.parametrize("driver", ["overlay2", "fuse-overlayfs", "aufs"])
def test_every_file_with_content_is_on_disk_before_the_container_exists(
    busybox_archive: str, tmp_path: Path, driver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut takes the content of what was not synced, and leaves the name."""
    programs.need_root()
    root = tmp_path / "root"
    Lamina(str(root), str(tmp_path / "config"), ("--storage-driver", driver))("load", "-q", "-i", busybox_archive)
    before = {path for path in root.rglob("*") if path.is_file()}
    synced: set[str] = set()
    missing: list[str] = []
    sync, rename = os.fdatasync, os.rename

    def note(descriptor: int) -> None:
        synced.add(os.readlink(f"/proc/self/fd/{descriptor}"))
        sync(descriptor)

    def look(source: str, target: str) -> None:
        if os.path.basename(target) == "config.v2.json":
            files = {path for path in root.rglob("*") if path.is_file() and path.stat().st_size} - before
            missing.extend(str(path) for path in files if not any(one in str(path) for one in _OTHERS))
            missing[:] = sorted(set(missing) - synced)
        rename(source, target)

    with lamina.Engine(str(root), storage_driver=driver) as engine, monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", note)
        patch.setattr(os, "rename", look)
        container = engine.containers.create("busybox", ["true"])
    assert missing == []
    assert any(name.endswith(f"{container.id}/hostconfig.json") for name in synced)
    assert any(f"{container.id}/.tmp-config.v2.json" in name for name in synced)
