"""Registries that know less than others, or lose their temper in the middle."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator

import pytest

from lamina.distribution.pull import pull
from lamina.distribution.push import push
from lamina.distribution.stores import Stores
from lamina.image.fsck import fsck
from lamina.oci import mediatype
from lamina.reference import Reference, parse_tagged
from lamina.registry.client import RegistryClient
from lamina.registry.errors import BlobUnknown, RegistryError
from support.fake_registry import Asked, FakeRegistry, Reply, error, once, times
from support.images import LayerTar, TestImage
from support.stores import content

IMAGE = TestImage([LayerTar().file("one", "1" * 5000).bytes(), LayerTar().file("two", "2").bytes()])
_FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as running:
        yield running


@pytest.fixture
def pulled(registry: FakeRegistry, stores: Stores, client: RegistryClient) -> Reference:
    """An OCI image that was pulled, named for another repository."""
    source = parse_tagged(registry.add(IMAGE))
    image_id = pull(source, stores, client)[0].image_id
    target = parse_tagged(f"{registry.address}/y:1")
    stores.images.references.add(target, image_id)
    return target


def put_types(registry: FakeRegistry) -> list[str]:
    """Media types of the manifests that somebody tried to store."""
    return [asked.headers["content-type"] for asked in registry.asked if "/manifests/" in asked.path and asked.body]


@pytest.mark.parametrize(("status", "code"), [(400, "MANIFEST_INVALID"), (415, "UNSUPPORTED"), (405, "UNSUPPORTED")])
def test_a_registry_without_oci_manifests_gets_dockers(
    registry: FakeRegistry, stores: Stores, client: RegistryClient, pulled: Reference, status: int, code: str
) -> None:
    def refuse(asked: Asked) -> Reply | None:
        return error(status, code, "no") if asked.headers["content-type"] == mediatype.OCI_MANIFEST else None

    registry.on("PUT", "/v2/y/manifests/", refuse)
    (result,) = push(pulled, stores, client)
    assert put_types(registry) == [mediatype.OCI_MANIFEST, mediatype.DOCKER_MANIFEST]
    media_type, raw = registry.manifests[("y", "1")]
    stored = json.loads(raw)
    assert (media_type, stored["mediaType"]) == (mediatype.DOCKER_MANIFEST,) * 2
    assert stored["config"]["mediaType"] == mediatype.DOCKER_CONFIG
    assert [layer["digest"] for layer in stored["layers"]] == [blob.digest for blob in IMAGE.layer_blobs]
    assert {layer["mediaType"] for layer in stored["layers"]} == {mediatype.DOCKER_LAYER_GZIP}
    (again,) = pull(pulled, stores, client)
    assert (again.image_id, again.digest) == (IMAGE.image_id, result.digest)


def test_a_refusal_of_both_forms_is_told_as_that_of_the_first(
    registry: FakeRegistry, stores: Stores, client: RegistryClient, pulled: Reference
) -> None:
    registry.on("PUT", "/v2/y/manifests/", once(error(400, "MANIFEST_INVALID", "too old")))
    registry.on("PUT", "/v2/y/manifests/", lambda asked: error(403, "DENIED") if put_types(registry)[1:] else None)
    with pytest.raises(RegistryError, match="manifest invalid: too old"):
        push(pulled, stores, client)


def test_a_refusal_for_another_reason_is_final(
    registry: FakeRegistry, stores: Stores, client: RegistryClient, pulled: Reference
) -> None:
    registry.on("PUT", "/v2/y/manifests/", error(403, "DENIED", "not yours"))
    with pytest.raises(RegistryError, match="denied: not yours"):
        push(pulled, stores, client)
    assert put_types(registry) == [mediatype.OCI_MANIFEST]


def test_an_upload_that_breaks_off_starts_again_and_leaves_no_session(
    registry: FakeRegistry, stores: Stores, client: RegistryClient, pulled: Reference
) -> None:
    with FakeRegistry() as other:
        other.on("PATCH", "/v2/z/blobs/uploads/", times(2, error(500, "UNKNOWN", "out of temper")))
        target = parse_tagged(f"{other.address}/z:1")
        stores.images.references.add(target, stores.images.references.get(pulled))
        push(target, stores, client)
        sessions = {asked.path for asked in other.asked if asked.method == "PATCH"}
        assert len(sessions) == 4
        assert {asked.path for asked in other.asked if asked.method == "DELETE"} < sessions
        assert len(other.paths("DELETE")) == 2
        (back,) = pull(target, stores, client)
        assert back.image_id == IMAGE.image_id


@pytest.fixture
def foreign(registry: FakeRegistry) -> Iterator[FakeRegistry]:
    """A place beside the registry that has the image's first layer at the last of its addresses."""
    with FakeRegistry() as elsewhere:
        manifest = json.loads(IMAGE.manifest)
        places = ("gone", "damaged", "short", "here")
        urls = ["http://127.0.0.1:1/closed", *(f"{elsewhere.url}/{place}" for place in places)]
        manifest["layers"][0].update(mediaType=_FOREIGN, urls=urls)
        registry.add(IMAGE)
        registry.add_manifest(manifest, IMAGE.manifest_media_type)
        registry.on("GET", f"/v2/x/blobs/{IMAGE.layer_blobs[0].digest}", error(404, "BLOB_UNKNOWN"))
        data = IMAGE.layer_blobs[0].data
        elsewhere.on("GET", "/gone", Reply(404))
        elsewhere.on("GET", "/damaged", Reply(200, {}, data[:-8] + bytes(8)))
        elsewhere.on("GET", "/short", lambda asked: Reply(200, {}, data[:-20], length=len(data)))
        elsewhere.on("GET", "/here", Reply(200, {}, data))
        yield elsewhere


@pytest.mark.root
@pytest.mark.usefixtures("foreign")
@pytest.mark.parametrize("driver", ["vfs", "overlay2"])
def test_every_address_of_a_foreign_layer_is_tried(
    registry: FakeRegistry, stores_at: Callable[..., Stores], client: RegistryClient, driver: str
) -> None:
    stores = stores_at(driver, driver)
    (result,) = pull(parse_tagged(f"{registry.address}/x"), stores, client)
    assert result.image_id == IMAGE.image_id
    stack = stores.layers.stack(stores.images.get(result.image_id).config.chain_id)
    assert [b"".join(stores.layers.tar(layer)) for layer in stack] == IMAGE.layers
    with stores.layers.mounted_image(stack[-1].chain_id) as path:
        assert sorted(os.listdir(path)) == ["one", "two"]
    assert fsck(stores.images).findings == []


def test_a_foreign_layer_that_nobody_has_leaves_nothing(
    registry: FakeRegistry, foreign: FakeRegistry, stores: Stores, client: RegistryClient
) -> None:
    foreign.on("GET", "/here", Reply(404))
    before = content(stores.root.path)
    with pytest.raises(BlobUnknown):
        pull(parse_tagged(f"{registry.address}/x"), stores, client)
    assert content(stores.root.path) == before
