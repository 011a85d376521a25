"""Volumes that are mounts, of which the mount fails before the kernel is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from lamina.volume import local


@pytest.mark.parametrize("name", ["a..b", "a" * 64])
def test_a_server_with_an_impossible_name_is_told_of(name: str, tmp_path: Path) -> None:
    options = {"type": "nfs", "device": ":/files", "o": f"addr={name}"}
    with pytest.raises(local.NotMounted, match=f"failed to mount local volume: mount :/files:{tmp_path}: no such host"):
        local.attach(str(tmp_path), options)
