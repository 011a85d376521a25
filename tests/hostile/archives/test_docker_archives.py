"""Docker archives made to harm: each is refused with a clear error, and nothing is left behind."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest

from lamina.digest import ImageID
from lamina.distribution.load import load
from lamina.distribution.stores import Stores
from lamina.errors import Corrupt, Unsupported
from lamina.reference import parse_tagged
from support.images import LayerTar, TestImage, sha256

Files = dict[str, bytes]


@pytest.mark.parametrize("path", ["../../etc/passwd", "/../etc/passwd", "a/../../x"])
def test_a_config_outside_the_archive(
    refused: Callable[..., str], docker_files: Callable[..., Files], path: str
) -> None:
    # CVE-2014-9358
    assert "leads out of it" in refused(Corrupt, docker_files(Config=path))


@pytest.mark.parametrize("path", ["../../../../../etc/passwd", "../victim/layer.tar"])
def test_a_layer_outside_the_archive(
    refused: Callable[..., str], docker_files: Callable[..., Files], path: str
) -> None:
    assert "leads out of it" in refused(Corrupt, docker_files(Layers=["0/layer.tar", path]))


def test_an_absolute_layer_path_is_looked_for_inside(
    refused: Callable[..., str], docker_files: Callable[..., Files]
) -> None:
    assert "/etc/passwd" in refused(Corrupt, docker_files(Layers=["0/layer.tar", "/etc/passwd"]))


@pytest.mark.parametrize("name", ["../victim", "a/../../victim", "/../victim"])
def test_an_entry_outside_the_archive(
    refused: Callable[..., str], docker_files: Callable[..., Files], name: str
) -> None:
    assert "leads out of it" in refused(Corrupt, {**docker_files(), name: b"x"})


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../../etc/passwd", "/proc/self/fd/0"])
def test_a_layer_that_links_to_the_host(image: TestImage, refused: Callable[..., str], target: str) -> None:
    tar = LayerTar().symlink("0/layer.tar", target).file("c.json", image.config.data)
    item = {"Config": "c.json", "RepoTags": None, "Layers": ["0/layer.tar", "0/layer.tar"]}
    assert "out of it" in refused(Corrupt, tar.file("manifest.json", json.dumps([item])).bytes())


def test_a_layer_that_links_to_itself(image: TestImage, refused: Callable[..., str]) -> None:
    tar = LayerTar().symlink("0/layer.tar", "layer.tar").file("c.json", image.config.data)
    item = {"Config": "c.json", "RepoTags": None, "Layers": ["0/layer.tar", "0/layer.tar"]}
    assert "link to itself" in refused(Corrupt, tar.file("manifest.json", json.dumps([item])).bytes())


def test_a_layer_that_links_to_another_one_is_legitimate(stores: Stores) -> None:
    layer = LayerTar().file("file", "x").bytes()
    image = TestImage([layer, layer])
    tar = LayerTar().file("0/layer.tar", layer).symlink("1/layer.tar", "../0/layer.tar")
    tar.file("c.json", image.config.data)
    item = {"Config": "c.json", "RepoTags": ["a:b"], "Layers": ["0/layer.tar", "1/layer.tar"]}
    (loaded,) = load(io.BytesIO(tar.file("manifest.json", json.dumps([item])).bytes()), stores)
    assert loaded.image_id == image.image_id


@pytest.mark.parametrize("kind", ["device", "fifo", "directory"])
def test_a_layer_that_is_no_file(image: TestImage, refused: Callable[..., str], kind: str) -> None:
    tar = LayerTar().file("c.json", image.config.data)
    if kind == "device":
        tar.device("0/layer.tar", 1, 5)
    elif kind == "fifo":
        tar.fifo("0/layer.tar")
    else:
        tar.directory("0/layer.tar")
    item = {"Config": "c.json", "RepoTags": None, "Layers": ["0/layer.tar", "0/layer.tar"]}
    refused(Corrupt, tar.file("manifest.json", json.dumps([item])).bytes())


def test_a_configuration_that_does_not_have_the_digest_in_its_name(
    image: TestImage, refused: Callable[..., str], docker_files: Callable[..., Files]
) -> None:
    files = docker_files()
    files[image.image_id.removeprefix("sha256:") + ".json"] += b" "
    assert "content has digest" in refused(Corrupt, files)


def test_a_layer_that_does_not_have_its_diff_id(
    refused: Callable[..., str], docker_files: Callable[..., Files]
) -> None:
    files = {**docker_files(), "1/layer.tar": LayerTar().file("two", "another").bytes()}
    assert "content has digest" in refused(Corrupt, files)


def test_a_layer_that_does_not_have_the_digest_in_its_name(
    refused: Callable[..., str], docker_files: Callable[..., Files], image: TestImage
) -> None:
    stated = "blobs/sha256/" + sha256(b"something else").removeprefix("sha256:")
    files = docker_files(Layers=["0/layer.tar", stated])
    assert "content has digest" in refused(Corrupt, {**files, stated: image.layers[1]})


@pytest.mark.parametrize("path", ["blobs/md5/00", "blobs/sha256/00", "blobs/sha256/" + "0" * 63])
def test_a_layer_whose_name_is_a_malformed_digest(
    refused: Callable[..., str], docker_files: Callable[..., Files], path: str
) -> None:
    assert "digest" in refused(Corrupt, {**docker_files(Layers=["0/layer.tar", path]), path: b""})


@pytest.mark.parametrize("layers", [[], ["0/layer.tar"], ["0/layer.tar", "1/layer.tar", "1/layer.tar"]])
def test_more_or_fewer_layers_than_diff_ids(
    refused: Callable[..., str], docker_files: Callable[..., Files], layers: list[str]
) -> None:
    message = refused(Corrupt, docker_files(Layers=layers))
    assert message == f"invalid manifest, layers length mismatch: expected 2, got {len(layers)}"


def test_layers_in_another_order(refused: Callable[..., str], docker_files: Callable[..., Files]) -> None:
    refused(Corrupt, docker_files(Layers=["1/layer.tar", "0/layer.tar"]))


def test_a_layer_that_is_missing(refused: Callable[..., str], docker_files: Callable[..., Files]) -> None:
    assert "'2/layer.tar'" in refused(Corrupt, docker_files(Layers=["0/layer.tar", "2/layer.tar"]))


@pytest.mark.parametrize(
    "name",
    ["UPPER/Case", "a:b:c", "", "a", "../../etc:x", "a@sha256:" + "0" * 64, "0" * 64, "a:b\n", 7],
)
def test_a_malformed_name(refused: Callable[..., str], docker_files: Callable[..., Files], name: Any) -> None:
    # CVE-2014-5278: a name that looks like an ID
    assert "invalid tag" in refused(Corrupt, docker_files(RepoTags=["good:1", name]))


@pytest.mark.parametrize(
    "manifest",
    [
        b"",
        b"{",
        b"null",
        b"{}",
        b"[1]",
        b"[NaN]",
        b"\xff",
        b'[{"Config": 1}]',
        b'[{"Config": "c", "Config": "d"}]',
        b'[{"Config": "c", "Layers": "x"}]',
        b'[{"Config": "c", "Layers": [1]}]',
        b"[" * 100_000 + b"]" * 100_000,
        b'["\\ud800"]',
    ],
)
def test_a_malformed_manifest(refused: Callable[..., str], docker_files: Callable[..., Files], manifest: bytes) -> None:
    refused(Corrupt, {**docker_files(), "manifest.json": manifest})


def test_a_manifest_of_fifty_megabytes(refused: Callable[..., str], docker_files: Callable[..., Files]) -> None:
    manifest = b"[" + b" " * (50 << 20) + b"]"
    assert "more than the limit" in refused(Corrupt, {**docker_files(), "manifest.json": manifest})


def test_two_manifests(refused: Callable[..., str], docker_files: Callable[..., Files]) -> None:
    tar = LayerTar()
    for name, data in docker_files().items():
        tar.file(name, data)
    tar.file("./manifest.json", docker_files()["manifest.json"])
    assert "twice" in refused(Corrupt, tar.bytes())


def test_names_that_hijack_are_reported_and_move_whole(
    stores: Stores, image: TestImage, docker_files: Callable[..., Files]
) -> None:
    # Moving a name is what load is for, as in Docker; it says so, and the old image stays.
    good = TestImage([LayerTar().file("good", "x").bytes()])
    config = good.image_id.removeprefix("sha256:") + ".json"
    item = {"Config": config, "RepoTags": ["victim:latest"], "Layers": ["l"]}
    files = {"l": good.layers[0], config: good.config.data, "manifest.json": json.dumps([item]).encode()}
    load(_stream(files), stores)
    (loaded,) = load(_stream(docker_files()), stores)
    assert "already exists, renaming the old one" in loaded.messages[0]
    assert stores.images.get(ImageID(good.image_id)).id == good.image_id
    assert stores.images.references.get(parse_tagged("victim")) == image.image_id


def test_a_name_that_moves_only_with_a_good_image(
    stores: Stores, image: TestImage, docker_files: Callable[..., Files]
) -> None:
    load(_stream(docker_files()), stores)
    other = TestImage([LayerTar().file("other", "x").bytes()])
    item = {"Config": "c.json", "RepoTags": ["victim:latest"], "Layers": ["l"]}
    files = {"l": b"broken" * 1000, "c.json": other.config.data, "manifest.json": json.dumps([item]).encode()}
    with pytest.raises(Corrupt):
        load(_stream(files), stores)
    assert stores.images.references.all() == {parse_tagged("victim"): image.image_id}
    assert stores.images.ids() == [image.image_id]


def test_a_name_that_looks_like_another_images_id_does_not_hide_that_image(
    stores: Stores, image: TestImage, docker_files: Callable[..., Files]
) -> None:
    # CVE-2014-5278: a name wins over the start of an ID, as in Docker; the whole ID means the image for ever.
    load(_stream(docker_files()), stores)
    other = TestImage([LayerTar().file("other", "x").bytes()])
    short = image.image_id.removeprefix("sha256:")[:12]
    item = {"Config": "c.json", "RepoTags": [f"{short}:latest"], "Layers": ["l"]}
    files = {"l": other.layers[0], "c.json": other.config.data, "manifest.json": json.dumps([item]).encode()}
    load(_stream(files), stores)
    assert stores.images.resolve(short).id == other.image_id
    for whole in (image.image_id, image.image_id.removeprefix("sha256:")):
        assert stores.images.resolve(whole).id == image.image_id


def test_a_repositories_file_that_points_at_unknown_ids_changes_nothing(
    stores: Stores, docker_files: Callable[..., Files]
) -> None:
    hostile = json.dumps({"alpine": {"latest": "../../../../etc"}, "busybox": {"latest": "0" * 64}}).encode()
    load(_stream({**docker_files(), "repositories": hostile}), stores)
    assert list(stores.images.references.all()) == [parse_tagged("victim")]


def test_an_archive_with_repositories_alone(refused: Callable[..., str]) -> None:
    assert "1.10" in refused(Unsupported, {"repositories": b'{"a": {"b": "../../x"}}', "x/json": b"{}"})


def test_parents_in_a_circle(refused: Callable[..., str], docker_files: Callable[..., Files], image: TestImage) -> None:
    assert "circle" in refused(Corrupt, docker_files(Parent=image.image_id))


@pytest.mark.parametrize("parent", ["x", "sha256:../../x", "sha256:00"])
def test_a_malformed_parent(refused: Callable[..., str], docker_files: Callable[..., Files], parent: str) -> None:
    assert "Parent" in refused(Corrupt, docker_files(Parent=parent))


def test_a_parent_that_is_none(refused: Callable[..., str], docker_files: Callable[..., Files]) -> None:
    stranger = TestImage([LayerTar().file("stranger", "x").bytes()])
    files = docker_files(Parent=stranger.image_id)
    (item,) = json.loads(files["manifest.json"])
    items = [item, {"Config": "s.json", "RepoTags": None, "Layers": ["s.tar"]}]
    files |= {"s.json": stranger.config.data, "s.tar": stranger.layers[0], "manifest.json": json.dumps(items).encode()}
    assert "is not a valid parent" in refused(Corrupt, files)


def test_an_image_for_another_system(refused: Callable[..., str]) -> None:
    document = {"os": "windows", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": []}}
    item = {"Config": "c.json", "RepoTags": ["a:b"], "Layers": []}
    files = {"c.json": json.dumps(document).encode(), "manifest.json": json.dumps([item]).encode()}
    assert refused(Unsupported, files) == "cannot load windows image on linux"


def test_a_sparse_manifest(refused: Callable[..., str], docker_files: Callable[..., Files]) -> None:
    tar = LayerTar()
    for name, data in docker_files().items():
        if name != "manifest.json":
            tar.file(name, data)
    records = {"GNU.sparse.map": "0,2", "GNU.sparse.numblocks": "1", "GNU.sparse.size": str(1 << 40)}
    tar.file("manifest.json", "[]", pax_headers={**records, "GNU.sparse.major": "0", "GNU.sparse.minor": "1"})
    assert "sparse" in refused(Corrupt, tar.bytes())


@pytest.mark.parametrize("cut", [100, 600, 2000])
def test_a_truncated_archive(refused: Callable[..., str], docker_files: Callable[..., Files], cut: int) -> None:
    tar = LayerTar()
    for name, data in docker_files().items():
        tar.file(name, data)
    refused(Corrupt, tar.bytes()[:cut])


def test_noise_is_refused(refused: Callable[..., str]) -> None:
    assert "archive/tar: invalid tar header" in refused(Corrupt, b"x" * 100_000)
    refused(Corrupt, b"\x1f\x8b\x08" + b"x" * 10_000)
    refused(Corrupt, b"")


def _stream(files: Files) -> io.BytesIO:
    tar = LayerTar()
    for name, data in files.items():
        tar.file(name, data)
    return io.BytesIO(tar.bytes())
