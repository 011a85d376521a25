"""Images out of the stores and into them again."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from lamina.digest import ImageID
from lamina.distribution.load import load
from lamina.distribution.save import save
from lamina.distribution.selection import UnknownReference
from lamina.distribution.stores import Stores
from lamina.errors import Corrupt, InvalidArgument, NotFound
from lamina.progress import Event
from lamina.reference import parse_tagged
from support.images import LayerTar, TestImage, write_tar
from support.stores import open_stores


def _image(*contents: str) -> TestImage:
    return TestImage([LayerTar().file(f"file{number}", text).bytes() for number, text in enumerate(contents)])


def _saved(stores: Stores, *names: str, format: str = "docker") -> bytes:
    sink = io.BytesIO()
    save(names, stores, sink, format=format)
    return sink.getvalue()


def _names(archive: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return tar.getnames()


def _file(archive: bytes, name: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        file = tar.extractfile(name)
        assert file is not None
        return file.read()


def _load(stores: Stores, image: TestImage, tmp_path: Path, *names: str) -> None:
    load(image.docker_archive(str(tmp_path / "in.tar"), *names), stores)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Stores:
    """Other, empty stores."""
    return open_stores(str(tmp_path / "elsewhere"))


@pytest.mark.parametrize("format", ["docker", "oci"])
def test_what_was_saved_loads_as_the_same_images(
    stores: Stores, elsewhere: Stores, tmp_path: Path, format: str
) -> None:
    one, two = _image("a", "b"), _image("a", "c")
    _load(stores, one, tmp_path, "one:1", "also/one:latest")
    _load(stores, two, tmp_path, "two:2")
    archive = _saved(stores, "one", "also/one", "two", format=format)
    loaded = load(io.BytesIO(archive), elsewhere)
    assert [image.messages for image in loaded] == [
        ["Loaded image: one:1", "Loaded image: also/one:latest"],
        ["Loaded image: two:2"],
    ]
    assert {image.image_id for image in loaded} == {one.image_id, two.image_id}
    assert _saved(elsewhere, "one", "also/one", "two", format=format) == archive


def test_a_docker_archive_has_dockers_structure(stores: Stores, tmp_path: Path) -> None:
    image = _image("a", "b")
    _load(stores, image, tmp_path, "name:tag")
    archive = _saved(stores, "name:tag")
    names = _names(archive)
    directories = sorted({name.partition("/")[0] for name in names if "/" in name})
    assert len(directories) == 2
    assert names[-2:] == ["manifest.json", "repositories"]
    for directory in directories:
        assert {f"{directory}/VERSION", f"{directory}/json", f"{directory}/layer.tar"} < set(names)
    (item,) = json.loads(_file(archive, "manifest.json"))
    assert item["Config"] == image.image_id.removeprefix("sha256:") + ".json"
    assert item["RepoTags"] == ["name:tag"]
    assert [_file(archive, path) for path in item["Layers"]] == image.layers
    assert json.loads(_file(archive, "repositories")) == {"name": {"tag": item["Layers"][-1].partition("/")[0]}}
    assert len(archive) % 512 == 0


def test_a_layer_that_several_images_share_is_saved_once(stores: Stores, tmp_path: Path) -> None:
    shared = LayerTar().file("big", bytes(100_000)).bytes()
    one = TestImage([shared, LayerTar().file("one", "1").bytes()])
    two = TestImage([shared], config={"Cmd": ["two"]})
    _load(stores, one, tmp_path, "one:1")
    _load(stores, two, tmp_path, "two:2")
    archive = _saved(stores, "one:1", "two:2")
    assert len(archive) < 150_000
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        links = [member.linkname for member in tar if member.issym()]
    assert len(links) == 1
    assert links[0].startswith("../")
    assert links[0].endswith("/layer.tar")


def test_an_oci_layout_has_one_manifest_for_each_name_and_plain_layers(stores: Stores, tmp_path: Path) -> None:
    image = _image("a", "b")
    _load(stores, image, tmp_path, "name:1", "name:2")
    save(["name"], stores, f"{tmp_path}/layout/", format="oci")
    index = json.loads((tmp_path / "layout" / "index.json").read_bytes())
    assert [entry["annotations"]["org.opencontainers.image.ref.name"] for entry in index["manifests"]] == ["1", "2"]
    digest = index["manifests"][0]["digest"]
    manifest = json.loads((tmp_path / "layout" / "blobs" / digest.replace(":", "/")).read_bytes())
    assert [layer["digest"] for layer in manifest["layers"]] == image.diff_ids
    assert manifest["config"]["digest"] == image.image_id
    assert sorted(os.listdir(tmp_path / "layout" / "blobs" / "sha256")) == sorted(
        digest.removeprefix("sha256:") for digest in [*image.diff_ids, image.image_id, digest]
    )


def test_an_archive_by_path_takes_the_place_of_what_was_there(stores: Stores, tmp_path: Path) -> None:
    _load(stores, _image("a"), tmp_path, "name:1")
    target = tmp_path / "out.tar"
    target.write_bytes(b"old")
    save(["name:1"], stores, str(target))
    assert target.read_bytes() == _saved(stores, "name:1")


def test_a_failed_save_leaves_what_was_there(stores: Stores, tmp_path: Path) -> None:
    _load(stores, _image("a" * 1000), tmp_path, "name:1")
    (file,) = (path for path in (tmp_path / "root" / "vfs").rglob("file0"))
    file.write_text("b" * 1000)
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.tar").write_bytes(b"old")
    with pytest.raises(Corrupt):
        save(["name:1"], stores, str(out / "a.tar"))
    assert [path.name for path in out.iterdir()] == ["a.tar"]
    assert (out / "a.tar").read_bytes() == b"old"


def test_names_choose_as_in_docker(stores: Stores, tmp_path: Path) -> None:
    image = _image("a")
    _load(stores, image, tmp_path, "name:1", "name:2", "other:1")

    def tags(*names: str) -> list[str] | None:
        (item,) = json.loads(_file(_saved(stores, *names), "manifest.json"))
        found: list[str] | None = item["RepoTags"]
        return found

    assert tags("name") == ["name:1", "name:2"]
    assert tags("name:2") == ["name:2"]
    assert tags("name:2", "other:1", "name:2") == ["name:2", "other:1"]
    assert tags(image.image_id) is None
    assert tags(image.image_id.removeprefix("sha256:")[:12]) is None
    with pytest.raises(UnknownReference, match=r"^reference does not exist$"):
        _saved(stores, "name:3")
    with pytest.raises(NotFound, match=r"^No such image: nothing$"):
        _saved(stores, "nothing")
    with pytest.raises(InvalidArgument):
        _saved(stores)


def test_an_unknown_format_is_refused(stores: Stores) -> None:
    with pytest.raises(InvalidArgument, match="docker, oci"):
        _saved(stores, "x", format="zip")


def test_a_name_that_pointed_elsewhere_is_reported(stores: Stores, tmp_path: Path) -> None:
    old, new = _image("old"), _image("new")
    _load(stores, old, tmp_path, "name:1")
    (loaded,) = load(new.docker_archive(str(tmp_path / "new.tar"), "name:1"), stores)
    assert loaded.messages == [
        f"The image name:1 already exists, renaming the old one with ID {old.image_id} to empty string",
        "Loaded image: name:1",
    ]
    assert stores.images.references.get(parse_tagged("name:1")) == new.image_id
    assert stores.images.get(ImageID(old.image_id)).id == old.image_id


def test_an_image_without_a_name_is_reported_by_its_id(stores: Stores, tmp_path: Path) -> None:
    image = _image("a")
    (loaded,) = load(image.docker_archive(str(tmp_path / "a.tar")), stores)
    assert loaded.messages == [f"Loaded image ID: {image.image_id}"]


def test_layers_that_exist_are_not_read(stores: Stores, tmp_path: Path) -> None:
    lower, upper = LayerTar().file("a", "1").bytes(), LayerTar().file("b", "2").bytes()
    _load(stores, TestImage([lower]), tmp_path, "lower:1")
    image = TestImage([lower, upper])
    path = image.docker_archive(str(tmp_path / "both.tar"), "both:1")
    data = Path(path).read_bytes()
    start = data.index(lower)
    Path(path).write_bytes(data[:start] + b"?" * len(lower) + data[start + len(lower) :])
    events: list[Event] = []
    load(path, stores, report=events.append)
    assert {event.id for event in events} == {image.diff_ids[1].removeprefix("sha256:")[:12]}


def test_a_parent_is_restored(stores: Stores, elsewhere: Stores, tmp_path: Path) -> None:
    lower, upper = LayerTar().file("a", "1").bytes(), LayerTar().file("b", "2").bytes()
    parent, child = TestImage([lower]), TestImage([lower, upper])
    _load(stores, parent, tmp_path, "parent:1")
    _load(stores, child, tmp_path)
    # the child comes first in the archive
    stores.images.create(child.config.data, parent=ImageID(parent.image_id))
    archive = _saved(stores, child.image_id, "parent:1")
    load(io.BytesIO(archive), elsewhere)
    assert elsewhere.images.children(ImageID(parent.image_id)) == stores.images.children(ImageID(parent.image_id))


def test_an_image_without_layers_travels(stores: Stores, elsewhere: Stores, tmp_path: Path) -> None:
    image = TestImage([], config={"Labels": {"only": "metadata"}})
    _load(stores, image, tmp_path, "empty:1")
    (loaded,) = load(io.BytesIO(_saved(stores, "empty:1")), elsewhere)
    assert loaded.image_id == image.image_id


def test_an_archive_of_anything_else_is_refused(stores: Stores, tmp_path: Path) -> None:
    for files in ({}, {"file": b"x"}, {"repositories": b"{}"}):
        with pytest.raises(Exception, match="invalid archive"):
            load(write_tar(str(tmp_path / "a.tar"), files), stores)
    assert stores.images.ids() == []


def test_nobody_waits_for_the_disk_of_a_load(stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing gigabytes back takes seconds, in which other commands can change the store."""
    held: list[bool] = []
    monkeypatch.setattr(stores.layers.driver, "sync", lambda: held.append(stores.root.holds("store")))
    _load(stores, _image("a"), tmp_path, "a:1")
    assert held == [False]
