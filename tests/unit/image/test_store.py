"""The image store: what Docker finds in its files, names and their meaning, damage."""

from __future__ import annotations

import json
import os
import stat

import pytest

from lamina.digest import Digest, ImageID
from lamina.errors import Corrupt, InvalidArgument, NotFound
from lamina.image.history import history
from lamina.image.references import DamagedReferences
from lamina.reference import InvalidReference, parse, parse_tagged
from support.images import LayerTar, TestImage
from support.storage import Storage

IMAGE = TestImage([LayerTar().file("a", "a" * 10).bytes(), LayerTar().file("b", "b").bytes()])


def read(storage: Storage, *parts: str) -> str:
    with open(storage.root.store(*parts)) as file:
        return file.read()


def test_files_are_those_that_docker_writes(storage: Storage) -> None:
    added = storage.add(IMAGE, "localhost:5000/some/name:1", "short")
    storage.images.references.add(parse(f"short@sha256:{'7' * 64}"), added.id)
    assert read(storage, "repositories.json") == (
        f'{{"Repositories":{{"localhost:5000/some/name":{{"localhost:5000/some/name:1":"{added.id}"}},'
        f'"short":{{"short:latest":"{added.id}","short@sha256:{"7" * 64}":"{added.id}"}}}}}}'
    )
    assert stat.S_IMODE(os.stat(storage.root.store("repositories.json")).st_mode) == 0o600
    assert read(storage, "imagedb/content/sha256", added.id.hex).encode() == IMAGE.config.data
    assert read(storage, "imagedb/metadata/sha256", added.id.hex, "lastUpdated").endswith("Z")
    bottom, top = (chain.removeprefix("sha256:") for chain in IMAGE.chain_ids)
    assert read(storage, "layerdb/sha256", top, "parent") == f"sha256:{bottom}"
    assert read(storage, "layerdb/sha256", bottom, "diff") == IMAGE.diff_ids[0]
    assert read(storage, "layerdb/sha256", bottom, "size") == "10"
    assert not os.path.exists(storage.root.store("layerdb/sha256", bottom, "parent"))


def test_an_image_is_meant_by_name_id_and_prefix(storage: Storage) -> None:
    added = storage.add(IMAGE, "name:tag")
    digest = Digest("sha256:" + "7" * 64)
    storage.images.references.add(parse(f"name@{digest}"), added.id)
    for text in ("name:tag", str(added.id), added.id.hex, added.id.hex[:12], str(added.id)[:12], f"name@{digest}"):
        assert storage.images.resolve(text).id == added.id
    assert storage.images.resolve_name("docker.io/library/name:tag")[1] == parse_tagged("name:tag")


def test_a_name_wins_over_an_id(storage: Storage) -> None:
    storage.add(IMAGE)
    other = TestImage([LayerTar().file("c").bytes()])
    storage.add(other, IMAGE.image_id.removeprefix("sha256:")[:12])
    assert storage.images.resolve(IMAGE.image_id.removeprefix("sha256:")[:12]).id == other.image_id


def test_a_prefix_of_two_images_means_none(storage: Storage) -> None:
    prefixes: dict[str, int] = {}
    for number in range(20):
        prefix = storage.add(TestImage([LayerTar().file(str(number)).bytes()])).id.hex[0]
        prefixes[prefix] = prefixes.get(prefix, 0) + 1
    ambiguous = next(prefix for prefix, count in prefixes.items() if count > 1)
    with pytest.raises(NotFound, match=rf"^No such image: {ambiguous}:latest$"):
        storage.images.resolve(ambiguous)


def test_what_is_no_name_is_refused(storage: Storage) -> None:
    with pytest.raises(InvalidReference, match="invalid reference format"):
        storage.images.resolve("UPPER//case")
    with pytest.raises(NotFound, match=r"^No such image: sha256:"):
        storage.images.resolve("0" * 64)


def test_a_name_points_at_an_image_that_exists(storage: Storage) -> None:
    with pytest.raises(NotFound):
        storage.images.references.add(parse("name"), ImageID("sha256:" + "0" * 64))
    with pytest.raises(InvalidArgument, match="using digest algorithm as name"):
        storage.images.tag(storage.add(IMAGE).id, parse("sha256"))
    assert storage.names() == {}


def test_a_moved_name_tells_where_it_pointed(storage: Storage) -> None:
    first = storage.add(IMAGE, "name")
    second = storage.add(TestImage([LayerTar().file("c").bytes()]))
    assert storage.images.tag(second.id, parse("name")) == first.id
    assert storage.images.tag(second.id, parse("name")) is None


def test_names_by_image_are_those_that_references_give(storage: Storage) -> None:
    one = storage.add(IMAGE, "zebra", "localhost:5000/a/b:1", "team/app:2", "app")
    other = storage.add(TestImage(IMAGE.layers[:1]), "app:other")
    for name in ("app", "localhost:5000/a/b"):
        storage.images.references.add(parse(f"{name}@sha256:{'7' * 64}"), one.id)
    path = storage.root.store("repositories.json")
    with open(path) as file:
        document = json.load(file)
    document["Repositories"]["app"].update({"application:1": str(one.id), "app:": str(one.id), "app@x": str(one.id)})
    with open(path, "w") as file:
        json.dump(document, file)
    names = storage.again().images.references.by_image()
    assert names == {id: [name.familiar for name in storage.images.references.of(id)] for id in (one.id, other.id)}
    assert len(names[one.id]) == 6


def test_an_image_needs_its_layers(storage: Storage) -> None:
    with pytest.raises(NotFound, match="layer sha256"):
        storage.images.create(IMAGE.config.data)
    assert storage.images.ids() == []
    assert storage.findings() == []


def test_history_follows_parents_on_this_host(storage: Storage) -> None:
    parent = storage.add(IMAGE, "parent")
    document = json.loads(IMAGE.config.data)
    document["history"].append({"created_by": "ENV", "empty_layer": True, "comment": "no layer"})
    child = storage.images.create(json.dumps(document).encode(), parent=parent.id)
    rows = history(storage.images, child)
    assert [(row.id, row.size, row.tags) for row in rows] == [
        (child.id, 0, ()),
        (parent.id, 1, ("parent:latest",)),
        ("<missing>", 10, ()),
    ]
    assert rows[0].comment == "no layer"


def test_damage_is_named_where_it_is_met_and_skipped_in_lists(storage: Storage) -> None:
    added = storage.add(IMAGE, "name")
    with open(storage.images.database.path(added.id), "w"):
        pass
    with pytest.raises(Corrupt, match=f"image {added.id} is damaged"):
        storage.images.resolve("name")
    assert list(storage.images.all()) == []


@pytest.mark.parametrize("text", ["", "{", '{"Repositories":[]}', '{"Repositories":{"a":{"a:1":2}}}'])
def test_damaged_names_are_an_error_and_can_be_replaced(storage: Storage, text: str) -> None:
    storage.add(IMAGE, "name")
    with open(storage.images.repositories.path, "w") as file:
        file.write(text)
    with pytest.raises(DamagedReferences):
        storage.images.references.all()
    assert len(storage.findings(repair=True)) == 1
    assert storage.findings() == []
    assert len(storage.images.ids()) == 1
