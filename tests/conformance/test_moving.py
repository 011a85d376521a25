"""Layers that move: onto others as if they had been staged there, and onto an equal one that was there first."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from support.images import LayerTar, sha256
from support.storage import open_storage

_BELOW = LayerTar().file("shared", b"below").file("below", b"below").bytes()
_MOVED = LayerTar().file("shared", b"moved").file("moved", b"moved").bytes()
_LAST = LayerTar().file("last", b"last").bytes()
_TOP = LayerTar().whiteout("below").file("top", b"top").bytes()


@pytest.mark.root
@pytest.mark.parametrize("name", ["overlay2", "fuse-overlayfs", "aufs"])
@pytest.mark.parametrize("committed", [False, True])
def test_a_moved_layer_is_one_on_its_new_parent(tmp_path: Path, name: str, *, committed: bool) -> None:
    storage = open_storage(str(tmp_path), name)
    below = None
    if committed:
        with storage.layers.begin() as transaction:
            transaction.stage(None).fill_from(io.BytesIO(_BELOW))
            (below,) = transaction.commit()
    with storage.layers.begin() as transaction:
        assert transaction.moves
        moved, dropped = transaction.stage(None), transaction.stage(None)
        moved.fill_from(io.BytesIO(_MOVED))
        dropped.fill_from(io.BytesIO(_MOVED))
        if below is None:
            below = transaction.stage(None)
            below.fill_from(io.BytesIO(_BELOW))
        transaction.move(moved, below)
        top = transaction.stage(moved)
        top.fill_from(io.BytesIO(_TOP))
        with transaction.view(top) as path:
            assert sorted(os.listdir(path)) == ["moved", "shared", "top"]
            assert Path(path, "shared").read_bytes() == b"moved"
        transaction.drop(dropped)
        layers = transaction.commit()
    stack = storage.layers.stack(layers[-1].chain_id)
    assert [layer.diff_id for layer in stack] == [sha256(tar) for tar in (_BELOW, _MOVED, _TOP)]
    assert len(list(storage.layers.all())) == 3
    assert b"".join(storage.layers.tar(stack[1])) == _MOVED
    with storage.layers.mounted_image(layers[-1].chain_id) as path:
        assert sorted(os.listdir(path)) == ["moved", "shared", "top"]


def test_layers_that_hold_what_is_below_them_do_not_move(tmp_path: Path) -> None:
    with open_storage(str(tmp_path), "vfs").layers.begin() as transaction:
        assert not transaction.moves


@pytest.mark.parametrize(
    "name", [*(pytest.param(name, marks=pytest.mark.root) for name in ("overlay2", "fuse-overlayfs", "aufs")), "vfs"]
)
@pytest.mark.parametrize("late", [False, True], ids=["before", "while they are published"])
def test_layers_on_one_that_another_was_faster_with_stand_on_that(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, *, late: bool
) -> None:
    storage = open_storage(str(tmp_path), name)
    layers = storage.layers

    def make() -> None:
        with layers.begin() as transaction:
            transaction.stage(None).fill_from(io.BytesIO(_BELOW))
            transaction.commit()

    def sync() -> None:
        monkeypatch.undo()
        make()
        layers.driver.sync()

    with layers.begin() as transaction:
        below = None
        for tar in (_BELOW, _MOVED, _TOP, _LAST):
            below = transaction.stage(below)
            below.fill_from(io.BytesIO(tar))
        if late:
            monkeypatch.setattr(layers.driver, "sync", sync)
        else:
            make()
        top = transaction.commit()[-1]
    assert [layer.diff_id for layer in layers.stack(top.chain_id)] == [
        sha256(tar) for tar in (_BELOW, _MOVED, _TOP, _LAST)
    ]
    with layers.mounted_image(top.chain_id) as path:
        assert sorted(os.listdir(path)) == ["last", "moved", "shared", "top"]
    found = storage.findings(deep=True)
    assert len(found) == 4
    assert all(finding.endswith("no image needs this layer") for finding in found)
