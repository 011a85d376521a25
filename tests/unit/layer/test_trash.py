"""What can't be deleted takes up space, and keeps nobody from working."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lamina.graphdriver.vfs import VfsDriver
from lamina.image.removal import remove
from support.images import LayerTar, TestImage
from support.storage import KILLED, Storage, in_child, open_storage

IMAGE = TestImage([LayerTar().file("a", "a").bytes()])
OTHER = TestImage([LayerTar().file("b", "b").bytes()])


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return open_storage(str(tmp_path / "root"), "vfs")


@pytest.fixture
def undeletable(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No layer can be deleted until the changes are undone, as if each had an immutable file."""

    def refuse(driver: VfsDriver, id: str) -> None:
        raise PermissionError(1, "Operation not permitted", id)

    monkeypatch.setattr(VfsDriver, "remove", refuse)
    return monkeypatch


def test_who_removed_it_is_told_and_all_others_work(storage: Storage, undeletable: pytest.MonkeyPatch) -> None:
    storage.add(IMAGE, "image")
    with pytest.raises(PermissionError):
        remove(storage.images, storage.layers, "image")
    other = storage.again()
    assert other.names() == {}
    other.add(OTHER, "other")
    assert [line.rpartition(": ")[2] for line in other.findings() if "/trash/" in line] == [
        "removed, but not freed yet"
    ]
    assert other.findings(repair=True)
    undeletable.undo()
    assert storage.again().findings() == []
    assert storage.again().names() == {"other:latest": OTHER.image_id}
    assert len(list(storage.layers.driver.ids())) == 1


def test_what_a_killed_process_left_may_stay_too(storage: Storage, undeletable: pytest.MonkeyPatch) -> None:
    def die() -> None:
        with storage.layers.begin() as transaction:
            transaction.stage(None).unpack()
            os._exit(KILLED)

    assert in_child(die) == KILLED
    other = storage.again()
    other.add(OTHER, "other")
    assert any("an operation was interrupted" in line for line in other.findings())
    undeletable.undo()
    assert storage.again().findings() == []
