"""Layers in AUFS's form: deletions are files, and the tar is the one that an overlayfs upper directory gives."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lamina.graphdriver.contract import DiffForm
from lamina.layer.difference import aufs_tar, overlay_tar
from lamina.layer.unionchanges import union_changes
from lamina.unionfs.options import Dialect, MountOptions
from support.layertar import Entry, directory, file, layer, reassemble, unpack

DELETIONS = {
    "a file": [directory(b"etc"), file(b"etc/.wh.gone"), file(b"etc/kept", b"1")],
    "an entry after its whiteout": [directory(b"d"), file(b"d/.wh.x"), file(b"d/x", b"new")],
    "an entry before its whiteout": [directory(b"d"), file(b"d/x", b"new"), file(b"d/.wh.x")],
    "a directory after its whiteout": [file(b".wh.d"), directory(b"d"), file(b"d/x", b"new")],
    "a directory before its whiteout": [directory(b"d"), file(b"d/x", b"new"), file(b".wh.d")],
    "an opaque directory": [directory(b"d"), file(b"d/.wh..wh..opq"), file(b"d/x")],
    "a name that sorts after a dot": [file(b".wh.-x"), file(b"-a"), file(b".wh.zz"), file(b"y")],
}


@pytest.mark.root
@pytest.mark.parametrize("entries", DELETIONS.values(), ids=DELETIONS)
def test_a_layer_gives_the_same_tar_as_on_overlay2(tmp_path: Path, entries: list[Entry]) -> None:
    unpack(layer(*entries), tmp_path / "overlay", DiffForm.OVERLAY)
    unpack(layer(*entries), tmp_path / "aufs", DiffForm.AUFS)
    assert b"".join(aufs_tar(str(tmp_path / "aufs"))) == b"".join(overlay_tar(str(tmp_path / "overlay")))


@pytest.mark.parametrize("entries", DELETIONS.values(), ids=DELETIONS)
def test_a_layers_own_tar_comes_back(tmp_path: Path, entries: list[Entry]) -> None:
    data = layer(*entries)
    unpack(data, tmp_path / "aufs", DiffForm.AUFS)
    assert reassemble(tmp_path / "aufs") == data


def test_a_deletion_is_a_file_and_what_comes_later_is_seen(tmp_path: Path) -> None:
    unpack(layer(file(b".wh.gone"), file(b".wh.back"), file(b"back")), tmp_path / "aufs", DiffForm.AUFS)
    assert sorted(os.listdir(tmp_path / "aufs")) == [".wh.gone", "back"]


def test_the_records_of_the_kernels_aufs_are_no_content(tmp_path: Path) -> None:
    for name in (".wh..wh.plnk", ".wh..wh.orph", "d"):
        (tmp_path / name).mkdir()
    for name in (".wh..wh.aufs", ".wh..wh.plnk/1.2", "d/x"):
        (tmp_path / name).touch()
    data = b"".join(aufs_tar(str(tmp_path)))
    assert b"d/x" in data
    assert b".wh." not in data


def test_changes_are_listed_as_docker_diff_does(tmp_path: Path) -> None:
    unpack(
        layer(directory(b"d"), file(b"d/x"), file(b"gone"), directory(b"o"), file(b"o/1"), file(b"o/2")), tmp_path / "l"
    )
    unpack(
        layer(
            file(b".wh.gone"), directory(b"d"), file(b"d/new"), directory(b"o"), file(b"o/.wh..wh..opq"), file(b"o/2")
        ),
        tmp_path / "u",
        DiffForm.AUFS,
    )
    changes = union_changes(MountOptions((str(tmp_path / "l"),), str(tmp_path / "u"), dialect=Dialect.AUFS))
    assert [(change.kind, change.path) for change in changes] == [
        ("C", b"/d"),
        ("A", b"/d/new"),
        ("D", b"/gone"),
        ("C", b"/o"),
        ("D", b"/o/1"),
    ]
