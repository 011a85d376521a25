"""Which kernels are asked for what: one that does not know it complains in the system's log."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lamina.graphdriver import overlayfs
from lamina.linux import mount


@pytest.mark.parametrize(
    ("release", "expected"),
    [
        ("6.1.0-57-amd64", False),
        ("5.15.0", False),
        ("6.6.99", False),
        ("6.7-rc1", True),
        ("6.7.0", True),
        ("6.18.44+", True),
        ("7.0", True),
    ],
)
def test_an_old_kernel_is_not_offered_lower_directories_one_by_one(
    release: str, expected: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Asked(Exception):
        """The kernel was asked."""

    def ask(kind: str) -> None:
        raise Asked

    monkeypatch.setattr(mount, "FileSystemContext", ask)
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", "host", release, "", "x86_64")))
    with pytest.raises(Asked if expected else OSError):
        overlayfs.detached(overlayfs.Overlay(str(tmp_path), ["a", "b"]))
