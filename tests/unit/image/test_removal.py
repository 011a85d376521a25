"""``rmi`` and ``image prune``: docker's rules and texts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lamina.digest import Digest, ImageID
from lamina.errors import Conflict, NotFound
from lamina.image.contract import ContainerUse, Image
from lamina.image.prune import InvalidFilter, prune
from lamina.image.removal import Deleted, Removed, Untagged, remove
from lamina.reference import parse
from support.images import LayerTar, TestImage
from support.storage import Storage

CONTAINER = "ab" * 32
DIGEST = Digest("sha256:" + "5" * 64)


def image(*names: str, **options: Any) -> TestImage:
    return TestImage([LayerTar().file(name, name).bytes() for name in names], **options)


def child(storage: Storage, parent: Image, comment: str) -> Image:
    """An image without a layer of its own, as ``ENV`` makes one."""
    document = json.loads(parent.config.raw)
    document["comment"] = comment
    return storage.images.create(json.dumps(document).encode(), parent=parent.id)


def rmi(storage: Storage, text: str, **options: Any) -> list[str]:
    return lines(remove(storage.images, storage.layers, text, **options))


def lines(removed: list[Removed]) -> list[str]:
    return [f"Untagged: {one.reference}" if isinstance(one, Untagged) else f"Deleted: {one.id}" for one in removed]


def uses(image_id: ImageID, *, running: bool) -> Any:
    return lambda: [ContainerUse(CONTAINER, image_id, running)]


def test_the_last_name_takes_the_image_and_its_layers_along(storage: Storage) -> None:
    added = image("a", "b")
    storage.add(added, "one")
    top, bottom = reversed(added.chain_ids)
    assert rmi(storage, "one") == [
        "Untagged: one:latest",
        f"Deleted: {added.image_id}",
        f"Deleted: {top}",
        f"Deleted: {bottom}",
    ]
    assert storage.images.ids() == []
    assert list(storage.layers.driver.ids()) == []
    assert storage.findings() == []


def test_one_of_several_names_only_goes_away(storage: Storage) -> None:
    storage.add(image("a"), "one", "two")
    assert rmi(storage, "one") == ["Untagged: one:latest"]
    assert storage.names().keys() == {"two:latest"}


def test_layers_that_another_image_has_stay(storage: Storage) -> None:
    storage.add(image("a", "b"), "one")
    storage.add(image("a", "c"), "two")
    assert [line for line in rmi(storage, "one") if line.startswith("Deleted")] == [
        f"Deleted: {image('a', 'b').image_id}",
        f"Deleted: {image('a', 'b').chain_ids[1]}",
    ]


def test_digests_go_with_the_last_tag_of_their_repository(storage: Storage) -> None:
    added = storage.add(image("a"), "one", "two")
    storage.images.references.add(parse(f"one@{DIGEST}"), added.id)
    assert rmi(storage, "one") == ["Untagged: one:latest", f"Untagged: one@{DIGEST}"]
    assert storage.names().keys() == {"two:latest"}


def test_an_id_removes_all_names_of_one_repository(storage: Storage) -> None:
    added = storage.add(image("a"), "one")
    storage.images.references.add(parse(f"one@{DIGEST}"), added.id)
    removed = rmi(storage, added.id.hex[:12])
    assert removed[:3] == ["Untagged: one:latest", f"Untagged: one@{DIGEST}", f"Deleted: {added.id}"]


def test_an_id_with_names_in_several_repositories_must_be_forced(storage: Storage) -> None:
    added = storage.add(image("a"), "one", "two")
    message = (
        f"conflict: unable to delete {added.id.hex[:12]} \\(must be forced\\) - "
        "image is referenced in multiple repositories"
    )
    with pytest.raises(Conflict, match=message):
        rmi(storage, added.id.hex)
    assert rmi(storage, added.id.hex, force=True)[:3] == [
        "Untagged: one:latest",
        "Untagged: two:latest",
        f"Deleted: {added.id}",
    ]


def test_the_only_name_of_an_image_with_a_container_must_be_forced(storage: Storage) -> None:
    added = storage.add(image("a"), "one")
    message = (
        f'conflict: unable to remove repository reference "one" \\(must force\\) - container {CONTAINER[:12]} '
        f"is using its referenced image {added.id.hex[:12]}"
    )
    with pytest.raises(Conflict, match=message):
        rmi(storage, "one", in_use=uses(added.id, running=False))
    assert storage.names() == {"one:latest": added.id}
    forced = rmi(storage, "one", force=True, in_use=uses(added.id, running=False))
    assert forced[:2] == ["Untagged: one:latest", f"Deleted: {added.id}"]


def test_the_image_of_a_running_container_stays_even_when_forced(storage: Storage) -> None:
    added = storage.add(image("a"), "one")
    assert rmi(storage, "one", force=True, in_use=uses(added.id, running=True)) == ["Untagged: one:latest"]
    message = (
        f"conflict: unable to delete {added.id.hex[:12]} \\(cannot be forced\\) - "
        f"image is being used by running container {CONTAINER[:12]}"
    )
    with pytest.raises(Conflict, match=message):
        rmi(storage, added.id.hex, force=True, in_use=uses(added.id, running=True))


def test_an_id_with_a_stopped_container_must_be_forced(storage: Storage) -> None:
    added = storage.add(image("a"), "one")
    with pytest.raises(Conflict, match=f"image is being used by stopped container {CONTAINER[:12]}"):
        rmi(storage, added.id.hex, in_use=uses(added.id, running=False))
    assert storage.names() == {"one:latest": added.id}


def test_a_parent_has_dependent_children(storage: Storage) -> None:
    parent = storage.add(image("a"))
    child(storage, parent, "child")
    with pytest.raises(Conflict, match=r"\(cannot be forced\) - image has dependent child images"):
        rmi(storage, parent.id.hex, force=True)


def test_nameless_parents_go_with_their_last_child(storage: Storage) -> None:
    parent = storage.add(image("a"))
    first = child(storage, parent, "first")
    second = child(storage, first, "second")
    removed = rmi(storage, second.id.hex)
    assert removed[:3] == [f"Deleted: {one.id}" for one in (second, first, parent)]
    assert storage.images.ids() == []


def test_parents_stay_with_a_name_another_child_or_when_asked_to(storage: Storage) -> None:
    parent = storage.add(image("a"), "parent")
    first, second, third = (child(storage, parent, comment) for comment in "123")
    assert rmi(storage, first.id.hex, prune=False) == [f"Deleted: {first.id}"]
    assert rmi(storage, second.id.hex) == [f"Deleted: {second.id}"]
    assert rmi(storage, third.id.hex) == [f"Deleted: {third.id}"]
    assert storage.images.ids() == [parent.id]


def test_layers_of_a_container_stay(storage: Storage) -> None:
    added = storage.add(image("a"), "one")
    storage.layers.create_writable(CONTAINER, added.config.chain_id)
    assert rmi(storage, "one", force=True) == ["Untagged: one:latest", f"Deleted: {added.id}"]
    assert storage.layers.exists(added.config.chain_id)  # type: ignore[arg-type]


def test_what_does_not_exist_is_named(storage: Storage) -> None:
    with pytest.raises(NotFound, match=r"^No such image: absent:latest$"):
        rmi(storage, "absent")


# prune


def pruned(storage: Storage, **options: Any) -> list[ImageID]:
    result = prune(storage.images, storage.layers, **options)
    assert result.reclaimed == sum(one.size for one in result.removed if isinstance(one, Deleted))
    return sorted(ImageID(one.id) for one in result.removed if isinstance(one, Deleted) and not one.size)


def test_prune_removes_nameless_images_only(storage: Storage) -> None:
    storage.add(image("a"), "named")
    nameless = storage.add(image("b"))
    assert pruned(storage) == [nameless.id]
    assert pruned(storage) == []


def test_prune_all_removes_every_image_without_a_container(storage: Storage) -> None:
    used, unused = storage.add(image("a"), "used"), storage.add(image("b"), "unused", "unused:2")
    assert pruned(storage, all=True, in_use=uses(used.id, running=False)) == [unused.id]
    assert storage.names().keys() == {"used:latest"}


def test_prune_filters_by_label_and_age(storage: Storage) -> None:
    kept = storage.add(image("a", config={"Labels": {"keep": "yes"}}))
    other = storage.add(image("b", config={"Labels": {"keep": "no"}}))
    assert pruned(storage, filters={"until": ["2020-09-13"]}) == []
    assert pruned(storage, filters={"label": ["keep=no"], "until": ["1h"]}) == [other.id]
    assert pruned(storage, filters={"label!": ["keep=yes"]}) == []
    assert pruned(storage, filters={"label!": ["other"]}) == [kept.id]


def test_prune_refuses_a_filter_that_docker_does_not_know(storage: Storage) -> None:
    with pytest.raises(InvalidFilter, match="Invalid filter 'color'"):
        prune(storage.images, storage.layers, filters={"color": ["red"]})
