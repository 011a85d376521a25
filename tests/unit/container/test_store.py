"""The files of containers: what is understood of damaged ones, and how they are found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lamina.container.record import Container, new_state
from lamina.container.store import ContainerStore, DamagedContainer, NoSuchContainer
from lamina.dataroot import DataRoot

ID, OTHER = "a1" * 32, "b2" * 32


@pytest.fixture
def store(tmp_path: Path) -> ContainerStore:
    store = ContainerStore(DataRoot.open(str(tmp_path)))
    for id, name in ((ID, "/one"), (OTHER, "/two")):
        document: dict[str, Any] = {"ID": id, "Name": name, "Image": "", "Config": {"User": "u"}, "State": new_state()}
        store.add(Container(document, {"AutoRemove": True}), sync=False)
    return store


def empty(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def fill_with_zeros(path: Path) -> None:
    path.write_bytes(bytes(100))


def fill_with_bytes_of_no_text(path: Path) -> None:
    path.write_bytes(bytes(range(128, 256)))


def replace_by_another_document(path: Path) -> None:
    path.write_bytes(b"[]")


DAMAGES = (empty, cut, fill_with_zeros, fill_with_bytes_of_no_text, replace_by_another_document)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["config.v2.json", "hostconfig.json"])
def test_a_damaged_file_is_named_with_the_way_out(
    store: ContainerStore, name: str, damage: Callable[[Path], None]
) -> None:
    path = Path(store.directory(ID), name)
    damage(path)
    said = f"^container {ID} is damaged: {path} is .*; 'lamina rm -f {ID}' removes it$"
    with pytest.raises(DamagedContainer, match=said):
        store.load(ID)
    assert [container.id for container in store.all()] == [OTHER]
    assert store.damaged() == [ID]
    assert store.find(ID) == store.find("a1a1") == ID
    remains = store.remains(ID)
    assert (remains.id, remains.auto_remove) == (ID, name == "config.v2.json")
    assert remains.config == ({} if name == "config.v2.json" else {"User": "u"})


def test_a_lost_host_configuration_is_damage_and_a_lost_record_is_no_container(store: ContainerStore) -> None:
    Path(store.directory(ID), "hostconfig.json").unlink()
    with pytest.raises(DamagedContainer, match=r"hostconfig\.json is missing"):
        store.load(ID)
    Path(store.directory(ID), "config.v2.json").unlink()
    with pytest.raises(NoSuchContainer):
        store.load(ID)


@pytest.mark.parametrize("name", ["config.v2.json", "hostconfig.json"])
def test_the_name_of_a_damaged_container_finds_it_and_is_free(store: ContainerStore, name: str) -> None:
    cut(Path(store.directory(ID), name))
    assert store.find("one") == store.find("/one") == ID
    store.require_free("one")
    document: dict[str, Any] = {"ID": "c3" * 32, "Name": "/one", "State": new_state()}
    store.add(Container(document, {}), sync=False)
    assert store.find("one") == "c3" * 32
