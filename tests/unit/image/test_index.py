"""The index of what lists show: it saves reading every configuration, and never tells what is not so."""

from __future__ import annotations

import json
import os

import pytest

from lamina.image.contract import ImageSummary
from lamina.image.database import ImageDatabase
from lamina.oci import timestamp
from support.images import LayerTar, TestImage
from support.storage import Storage

COUNT = 80
CREATED = timestamp.nanoseconds("2020-09-13T12:26:40Z")


@pytest.fixture
def many(storage: Storage) -> Storage:
    """A root with more images than an index is worth for; the first has a layer."""
    storage.add(TestImage([LayerTar().file("a", "aaa").bytes()], config={"Labels": {"number": "0"}}))
    for number in range(1, COUNT):
        storage.images.create(TestImage([], config={"Labels": {"number": str(number)}}).config.data)
    return storage


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which configurations are read, in place of reading them."""
    asked: list[str] = []
    read = ImageDatabase.read

    def noted(database: ImageDatabase, id: object) -> bytes:
        asked.append(str(id))
        return read(database, id)  # type: ignore[arg-type]  # passed on as it came

    monkeypatch.setattr(ImageDatabase, "read", noted)
    return asked


def summaries(storage: Storage) -> dict[str, ImageSummary]:
    """As a new process sees them, by label."""
    return {(summary.labels or {})["number"]: summary for summary in storage.again().images.summaries()}


def path_of(storage: Storage) -> str:
    return storage.root.sub("lamina/index/vfs.json")


def test_a_second_list_reads_no_configuration(many: Storage, unread: list[str]) -> None:
    first = summaries(many)
    assert len(first) == len(set(unread)) == COUNT
    assert {(one.created, one.size) for one in first.values()} == {(CREATED, 0), (CREATED, 3)}
    assert first["0"].size == 3
    unread.clear()
    assert summaries(many) == first
    assert unread == []


def test_what_comes_and_goes_shows_at_once(many: Storage, unread: list[str]) -> None:
    before = summaries(many)
    unread.clear()
    added = many.images.create(TestImage([], config={"Labels": {"number": "new"}}).config.data)
    many.images.delete(before["5"].id)
    now = summaries(many)
    assert now.keys() == before.keys() - {"5"} | {"new"}
    assert set(unread) == {added.id}


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"Version":1,"Images":{}}', '{"Version":2,"Images":{"x":[1]}}', "[" * 9999]
)
def test_an_index_that_is_none_is_made_again(many: Storage, content: str) -> None:
    expected = summaries(many)
    with open(path_of(many), "w") as file:
        file.write(content)
    assert summaries(many) == expected
    with open(path_of(many)) as file:
        assert len(json.load(file)["Images"]) == COUNT


def test_a_size_that_can_not_be_told_is_not_kept(many: Storage) -> None:
    layer = next(many.layers.all())
    size = f"{many.layers.workshop.database.path(layer.chain_id)}/size"
    os.rename(size, f"{size}-away")
    assert summaries(many)["0"].size == 0
    os.rename(f"{size}-away", size)
    assert summaries(many)["0"].size == 3


def test_few_images_need_no_index(storage: Storage) -> None:
    storage.add(TestImage([], config={"Labels": {"number": "0"}}))
    assert len(summaries(storage)) == 1
    assert not os.path.exists(path_of(storage))
