"""Digests, sizes, manifests, indexes and configurations that lie (hostile inputs 11 and 12)."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from lamina.digest import DigestMismatch
from lamina.distribution.resolution import LayersMismatch, NoMatchingManifest
from lamina.distribution.stores import Stores
from lamina.errors import Corrupt, LaminaError, Unsupported
from lamina.oci.document import InvalidDocument
from lamina.oci.mediatype import DOCKER_LIST, DOCKER_MANIFEST, DOCKER_SCHEMA1, DOCKER_SCHEMA1_SIGNED
from lamina.registry.download import WrongSize
from lamina.registry.errors import RegistryError
from support.fake_registry import FakeRegistry, Reply
from support.images import CONFIG_TYPE, INDEX_TYPE, MANIFEST_TYPE, Blob, LayerTar, TestImage, sha256

Refused = Callable[..., str]


def document(image: TestImage) -> dict[str, Any]:
    return json.loads(image.manifest)


def serve(registry: FakeRegistry, image: TestImage, manifest: dict[str, Any] | bytes, media_type: str = "") -> None:
    registry.add(image)
    registry.add_manifest(manifest, media_type or image.manifest_media_type)


# 11: digests and sizes


@pytest.mark.parametrize(
    "digest",
    [
        "",
        "sha256",
        "sha256:",
        "sha256:../../../../etc/passwd",
        "sha256:" + "a" * 63,
        "sha256:" + "a" * 65,
        "sha256:" + "A" * 64,
        "sha256:" + "g" * 64,
        "md5:" + "a" * 32,
        "sha257:" + "a" * 64,
        "../x:" + "a" * 64,
        "sha256:" + "a" * 63 + "\n",
        None,
        7,
    ],
)
@pytest.mark.parametrize("where", ["config", "layer"])
def test_a_malformed_digest_is_refused(
    fake_registry: FakeRegistry, image: TestImage, refused: Refused, digest: object, where: str
) -> None:
    manifest = document(image)
    target = manifest["config"] if where == "config" else manifest["layers"][0]
    target["digest"] = digest
    serve(fake_registry, image, manifest)
    assert "manifest of" in refused(InvalidDocument)
    assert fake_registry.paths("GET", "/blobs/") == []


@pytest.mark.parametrize("size", [-1, 1 << 60, 1.5, "10", None, True, float("nan")])
def test_a_size_that_is_none_is_refused(
    fake_registry: FakeRegistry, image: TestImage, refused: Refused, size: object
) -> None:
    manifest = document(image)
    manifest["layers"][1]["size"] = size
    serve(fake_registry, image, manifest)
    refused(InvalidDocument)


@pytest.mark.parametrize("difference", [-1, 1, 1000])
@pytest.mark.parametrize("where", ["config", "layer"])
def test_a_blob_that_is_not_as_long_as_announced_is_refused(
    fake_registry: FakeRegistry, image: TestImage, refused: Refused, difference: int, where: str
) -> None:
    manifest = document(image)
    target = manifest["config"] if where == "config" else manifest["layers"][1]
    target["size"] += difference
    serve(fake_registry, image, manifest)
    assert "announces" in refused(WrongSize)


def test_an_endless_blob_is_cut_off(fake_registry: FakeRegistry, image: TestImage, refused: Refused) -> None:
    def endless():
        yield image.layer_blobs[0].data
        while True:
            yield bytes(1 << 16)

    fake_registry.add(image)
    fake_registry.on("GET", f"/v2/x/blobs/{image.layer_blobs[0].digest}", lambda asked: Reply(200, {}, endless()))
    assert "longer than" in refused(WrongSize)


def test_an_endless_manifest_is_cut_off(fake_registry: FakeRegistry, refused: Refused) -> None:
    def endless():
        while True:
            yield b" " * (1 << 16)

    fake_registry.on("GET", "/v2/x/manifests/", lambda asked: Reply(200, {}, endless()))
    assert "longer than" in refused(LaminaError)


def test_an_endless_configuration_is_refused_by_its_size(
    fake_registry: FakeRegistry, image: TestImage, refused: Refused
) -> None:
    manifest = document(image)
    manifest["config"]["size"] = 1 << 40
    serve(fake_registry, image, manifest)
    assert "more than the limit" in refused(InvalidDocument)
    assert fake_registry.paths("GET", "/blobs/") == []


@pytest.mark.parametrize("data", ["!", base64.b64encode(b"{}").decode(), base64.b64encode(b"x" * 50).decode()])
def test_embedded_data_that_is_something_else_is_refused(
    fake_registry: FakeRegistry, image: TestImage, refused: Refused, data: str
) -> None:
    manifest = document(image)
    manifest["config"]["data"] = data
    serve(fake_registry, image, manifest)
    assert "'data'" in refused(Corrupt)


@pytest.mark.parametrize("where", ["config", "layer"])
def test_content_that_is_not_what_its_digest_says_is_refused(
    fake_registry: FakeRegistry, image: TestImage, refused: Refused, where: str
) -> None:
    fake_registry.add(image)
    blob = image.config if where == "config" else image.layer_blobs[1]
    fake_registry.blobs[blob.digest] = blob.data[:-1] + bytes([blob.data[-1] ^ 1])
    refused(Corrupt)


def test_a_layer_that_is_not_what_its_diff_id_says_is_refused(
    fake_registry: FakeRegistry, image: TestImage, refused: Refused
) -> None:
    other = TestImage([LayerTar().file("evil", "evil").bytes()])
    fake_registry.add(other)
    manifest = document(image)
    manifest["layers"][0] = document(other)["layers"][0]
    serve(fake_registry, image, manifest)
    assert "expected" in refused(DigestMismatch)


# 12: manifests


def test_a_manifest_that_is_an_index_too_is_refused(
    fake_registry: FakeRegistry, image: TestImage, refused: Refused
) -> None:
    serve(fake_registry, image, document(image) | {"manifests": []})
    assert "at the same time" in refused(InvalidDocument)


@pytest.mark.parametrize(
    ("inside", "outside"),
    [(MANIFEST_TYPE, DOCKER_MANIFEST), (MANIFEST_TYPE, INDEX_TYPE), (DOCKER_LIST, MANIFEST_TYPE)],
)
def test_types_inside_and_outside_must_agree(
    fake_registry: FakeRegistry, image: TestImage, refused: Refused, inside: str, outside: str
) -> None:
    serve(fake_registry, image, document(image) | {"mediaType": inside}, outside)
    assert "inside" in refused(InvalidDocument)


@pytest.mark.parametrize("media_type", [DOCKER_SCHEMA1, DOCKER_SCHEMA1_SIGNED])
def test_schema_1_is_not_supported(fake_registry: FakeRegistry, refused: Refused, media_type: str) -> None:
    fake_registry.add_manifest({"schemaVersion": 1, "fsLayers": [], "history": []}, media_type)
    assert "schema 1" in refused(Unsupported)


def test_an_artifact_is_no_image(fake_registry: FakeRegistry, image: TestImage, refused: Refused) -> None:
    manifest = document(image)
    manifest["config"]["mediaType"] = "application/vnd.cncf.helm.config.v1+json"
    serve(fake_registry, image, manifest)
    assert "not a container image" in refused(Unsupported)


def test_a_layer_of_an_unknown_type_is_refused(fake_registry: FakeRegistry, image: TestImage, refused: Refused) -> None:
    manifest = document(image)
    manifest["layers"][0]["mediaType"] = "application/vnd.oci.image.layer.v1.tar+gzip+encrypted"
    serve(fake_registry, image, manifest)
    assert "unsupported layer media type" in refused(Unsupported)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b'{"schemaVersion": 2, "schemaVersion": 2}',
        b'{"schemaVersion": 3}',
        b'{"schemaVersion": NaN}',
        b'{"a":' * 100_000,
        b'{"schemaVersion": 2, "layers": [], "config": null}',
        b'{"schemaVersion": 2, "layers": {}, "config": {}}',
        b'{"x": "\xff"}',
        b'{"x": "\\ud800"}',
    ],
)
def test_a_malformed_manifest_is_refused(fake_registry: FakeRegistry, refused: Refused, raw: bytes) -> None:
    fake_registry.add_manifest(raw, MANIFEST_TYPE)
    refused(Corrupt)


def test_a_manifest_with_ten_thousand_layers_is_refused(
    fake_registry: FakeRegistry, image: TestImage, refused: Refused
) -> None:
    manifest = document(image)
    manifest["layers"] *= 5000
    serve(fake_registry, image, manifest)
    assert "more than the limit" in refused(InvalidDocument)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_the_configuration_must_have_as_many_layers(
    fake_registry: FakeRegistry, image: TestImage, refused: Refused, count: int
) -> None:
    manifest = document(image)
    manifest["layers"] = (manifest["layers"] * 2)[:count]
    serve(fake_registry, image, manifest)
    assert refused(LayersMismatch) == "layers from manifest don't match image configuration"


def test_a_history_that_names_more_layers_than_there_are_is_refused(
    fake_registry: FakeRegistry, refused: Refused
) -> None:
    layer = LayerTar().file("a").bytes()
    fake_registry.add(TestImage([layer], history=[{"created_by": "one"}, {"created_by": "two"}]))
    assert "history names 2 layers" in refused(InvalidDocument)


def test_an_empty_history_is_no_lie(fake_registry: FakeRegistry, pulled: Callable[..., Any], stores: Stores) -> None:
    image = TestImage([LayerTar().file("a").bytes()], history=[])
    fake_registry.add(image)
    assert pulled()[0].image_id == image.image_id


def test_an_image_without_layers_is_legitimate(
    fake_registry: FakeRegistry, pulled: Callable[..., Any], stores: Stores
) -> None:
    image = TestImage([])
    fake_registry.add(image)
    pulled()
    assert [each.id for each in stores.images.all()] == [image.image_id]
    assert list(stores.layers.all()) == []


def test_the_same_layer_several_times_is_legitimate(
    fake_registry: FakeRegistry, pulled: Callable[..., Any], stores: Stores
) -> None:
    layer = LayerTar().file("a", "a").bytes()
    image = TestImage([layer, layer, layer])
    fake_registry.add(image)
    pulled()
    assert {layer.chain_id for layer in stores.layers.all()} == set(image.chain_ids)


def test_an_image_of_another_system_is_refused(fake_registry: FakeRegistry, image: TestImage, refused: Refused) -> None:
    config = json.loads(image.config.data) | {"os": "windows"}
    image.config = Blob(CONFIG_TYPE, json.dumps(config).encode())
    serve(fake_registry, image, document(image) | {"config": image.config.descriptor()})
    assert 'image operating system "windows" cannot be used on this platform' in refused(Unsupported)


@pytest.mark.parametrize("header", [sha256(b"other"), "sha256:xyz", "sha1:" + "a" * 40, "../../x"])
def test_a_digest_header_that_lies_is_refused(
    fake_registry: FakeRegistry, image: TestImage, refused: Refused, header: str
) -> None:
    fake_registry.add(image)
    headers = {"Content-Type": image.manifest_media_type, "Docker-Content-Digest": header}
    fake_registry.on("GET", "/v2/x/manifests/", Reply(200, headers, image.manifest))
    refused(LaminaError)


# 12: indexes


def index(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": list(entries)}


def entry(digest: str, size: int, media_type: str = INDEX_TYPE, **platform: str) -> dict[str, Any]:
    given = {"os": "linux", "architecture": "amd64", **platform}
    return {"mediaType": media_type, "digest": digest, "size": size, "platform": given}


def test_indexes_inside_each_other_without_end_are_refused(fake_registry: FakeRegistry, refused: Refused) -> None:
    raw = json.dumps(index()).encode()
    for _ in range(20):
        digest = fake_registry.add_manifest(raw, INDEX_TYPE)
        raw = json.dumps(index(entry(digest, len(raw)))).encode()
    fake_registry.add_manifest(raw, INDEX_TYPE)
    assert "indexes inside each other" in refused(InvalidDocument)
    assert len(fake_registry.asked) < 10


def test_an_index_that_names_itself_is_refused(fake_registry: FakeRegistry, refused: Refused) -> None:
    # No document can hold its own digest, but a registry can answer with one document for every digest.
    raw = json.dumps(index(entry(sha256(b"any"), 5))).encode()
    fake_registry.on("GET", "/v2/x/manifests/", Reply(200, {"Content-Type": INDEX_TYPE}, raw))
    refused(DigestMismatch)


@pytest.mark.parametrize("difference", [-1, 1])
def test_a_manifest_must_be_as_long_as_its_index_says(
    fake_registry: FakeRegistry, image: TestImage, refused: Refused, difference: int
) -> None:
    fake_registry.add(image)
    size = len(image.manifest) + difference
    fake_registry.add_manifest(index(entry(image.manifest_digest, size, MANIFEST_TYPE)), INDEX_TYPE)
    assert "the index announces" in refused(InvalidDocument)


def test_a_manifest_must_be_of_the_type_that_its_index_says(
    fake_registry: FakeRegistry, image: TestImage, refused: Refused
) -> None:
    fake_registry.add(image)
    fake_registry.add_manifest(index(entry(image.manifest_digest, len(image.manifest), DOCKER_MANIFEST)), INDEX_TYPE)
    refused(InvalidDocument)


def test_an_index_with_nothing_for_this_platform_says_so(
    fake_registry: FakeRegistry, image: TestImage, refused: Refused
) -> None:
    fake_registry.add(image)
    only = entry(image.manifest_digest, len(image.manifest), MANIFEST_TYPE, architecture="s390x")
    fake_registry.add_manifest(index(only), INDEX_TYPE)
    assert refused(NoMatchingManifest) == "no matching manifest for linux/amd64 in the manifest list entries"


def test_an_empty_index_says_so(fake_registry: FakeRegistry, refused: Refused) -> None:
    fake_registry.add_manifest(index(), INDEX_TYPE)
    assert "no matching manifest" in refused(NoMatchingManifest)


def test_an_index_with_ten_thousand_entries_is_refused(
    fake_registry: FakeRegistry, image: TestImage, refused: Refused
) -> None:
    fake_registry.add_manifest(index(*[entry(image.manifest_digest, 1)] * 10_000), INDEX_TYPE)
    assert "more than the limit" in refused(InvalidDocument)


def test_names_that_are_not_there_are_docker_s_messages(fake_registry: FakeRegistry, refused: Refused) -> None:
    name = f"{fake_registry.address}/x"
    assert refused(LaminaError) == f"manifest for {name}:latest not found: manifest unknown: manifest unknown"
    fake_registry.on("GET", "/v2/x/", Reply(403))
    assert refused(LaminaError) == (
        f"pull access denied for {name}, repository does not exist or may require 'docker login': "
        "denied: requested access to the resource is denied"
    )


def test_an_error_page_is_no_manifest(fake_registry: FakeRegistry, refused: Refused) -> None:
    fake_registry.on("GET", "/v2/x/", Reply(418, {"Content-Type": "text/html"}, b"<html>\x1b[31m" * 100_000))
    assert "unexpected status 418" in refused(RegistryError)
