"""Pull and push against Debian's docker-registry, and what skopeo reads there."""

from __future__ import annotations

import hashlib
import io
import json
import random
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lamina.digest import ChainID, Digest, ImageID
from lamina.distribution import originals, uploads
from lamina.distribution.metadata import DistributionMetadata
from lamina.distribution.pull import PullRefused, pull
from lamina.distribution.push import NothingToPush, push
from lamina.distribution.resolution import NoMatchingManifest
from lamina.distribution.stores import Stores
from lamina.errors import InvalidArgument, Unauthorized
from lamina.oci.mediatype import DOCKER_LAYER_GZIP, DOCKER_MANIFEST
from lamina.oci.platform import from_text
from lamina.progress import Event
from lamina.reference import Reference, parse, parse_tagged
from lamina.registry.client import RegistryClient
from lamina.registry.credentials import Credential, DockerConfig
from lamina.registry.login import login
from lamina.registry.settings import Settings
from support.images import LayerTar, TestImage
from support.registry import Registry

pytestmark = [pytest.mark.registry]


@pytest.fixture
def server(registry: Callable[..., Registry]) -> Registry:
    return registry()


@pytest.fixture
def other(registry: Callable[..., Registry]) -> Registry:
    return registry()


class Events(list[Event]):
    """Records what is reported."""

    def __call__(self, event: Event) -> None:
        self.append(event)

    def lines(self) -> list[str]:
        """As docker prints them where there is no terminal, without those that only show how far it is."""
        skipped = ("Downloading", "Extracting", "Pushing", "Waiting", "Verifying Checksum")
        return [
            f"{event.id}: {event.status}" if event.id else event.status
            for event in self
            if event.status and event.status not in skipped
        ]


@pytest.fixture
def events() -> Events:
    return Events()


def skopeo_digest(name: str) -> str:
    command = ["skopeo", "inspect", "--tls-verify=false", "--format", "{{.Digest}}", f"docker://{name}"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def tag(stores: Stores, image: TestImage, name: str) -> Reference:
    reference = parse_tagged(name)
    stores.images.references.add(reference, ImageID(image.image_id))
    return reference


def bodies(server: Registry, method: str) -> list[str]:
    """Requests that carried a layer's bytes: downloads by GET, uploads by PATCH."""
    return [line for line in server.requests() if line.startswith(f"{method} ") and "/blobs/" in line]


# Pull


def test_a_pull_says_what_docker_says(server: Registry, stores: Stores, client: RegistryClient, events: Events) -> None:
    image = TestImage([LayerTar().file("a", "a").bytes()], docker=True)
    name = server.upload(image, "library/x")
    layer = image.layer_blobs[0].digest[7:19]
    assert pull(parse(name), stores, client, report=events)[0] == (
        parse(name),
        image.image_id,
        image.manifest_digest,
        True,
    )
    assert events.lines() == [
        "latest: Pulling from library/x",
        f"{layer}: Pulling fs layer",
        f"{layer}: Download complete",
        f"{layer}: Pull complete",
        f"Digest: {image.manifest_digest}",
        f"Status: Downloaded newer image for {name}",
    ]
    events.clear()
    assert pull(parse(name), stores, client, report=events)[0].updated is False
    assert events.lines() == [
        "latest: Pulling from library/x",
        f"Digest: {image.manifest_digest}",
        f"Status: Image is up to date for {name}",
    ]
    assert stores.images.digests(ImageID(image.image_id)) == [(f"{server.address}/library/x", image.manifest_digest)]


def test_layers_that_exist_are_not_asked_for(
    server: Registry, stores: Stores, client: RegistryClient, events: Events, layered_image: TestImage
) -> None:
    pull(parse(server.upload(layered_image, "one")), stores, client)
    above = TestImage([*layered_image.layers, LayerTar().file("more", "more").bytes()])
    name = server.upload(above, "two")
    before = len(bodies(server, "GET"))
    pull(parse(name), stores, client, report=events)
    assert sum(event.status == "Already exists" for event in events) == 4
    asked = [line.rpartition("/")[2] for line in bodies(server, "GET")[before:]]
    assert asked == [above.config.digest, above.layer_blobs[-1].digest]


def test_what_docker_remembers_is_remembered(server: Registry, stores: Stores, client: RegistryClient) -> None:
    image = TestImage([LayerTar().file("a", "a").bytes()])
    name = server.upload(image, "x")
    pull(parse(name), stores, client)
    place = {"Digest": image.layer_blobs[0].digest, "SourceRepository": f"{server.address}/x", "HMAC": ""}
    directory = Path(stores.root.store("distribution"))
    diff_id, digest = image.diff_ids[0][7:], image.layer_blobs[0].digest[7:]
    places = directory / "v2metadata-by-diffid" / "sha256" / diff_id
    assert places.read_text() == json.dumps([place], separators=(",", ":"))
    assert (directory / "diffid-by-digest" / "sha256" / digest).read_text() == image.diff_ids[0]
    assert places.stat().st_mode & 0o777 == 0o644


def test_a_pull_by_digest_makes_no_tag(server: Registry, stores: Stores, client: RegistryClient) -> None:
    image = TestImage([LayerTar().file("a").bytes()])
    server.upload(image, "x")
    reference = parse(f"{server.address}/x@{image.manifest_digest}")
    assert pull(reference, stores, client)[0].updated
    assert stores.images.references.of(ImageID(image.image_id)) == [reference]
    assert not pull(reference, stores, client)[0].updated


def test_all_tags_come_together(server: Registry, stores: Stores, client: RegistryClient, events: Events) -> None:
    first, second = TestImage([LayerTar().file("1").bytes()]), TestImage([LayerTar().file("2").bytes()])
    server.upload(first, "x", "one")
    server.upload(second, "x", "two")
    results = pull(parse(f"{server.address}/x"), stores, client, all_tags=True, report=events)
    assert {result.reference.tag: result.image_id for result in results} == {
        "one": first.image_id,
        "two": second.image_id,
    }
    assert events.lines()[-1] == f"Status: Downloaded newer image for {server.address}/x"


def test_the_platform_chooses_from_an_index(
    server: Registry, stores: Stores, client: RegistryClient, events: Events
) -> None:
    images = {name: TestImage([LayerTar().file(name).bytes()], architecture=name) for name in ("amd64", "arm64")}
    entries = []
    for name, image in images.items():
        server.upload(image, "x", name)
        descriptor = {"mediaType": image.manifest_media_type, "digest": image.manifest_digest}
        platform = {"os": "linux", "architecture": name}
        entries.append(descriptor | {"size": len(image.manifest), "platform": platform})
    index_type = "application/vnd.oci.image.index.v1+json"
    index = json.dumps({"schemaVersion": 2, "mediaType": index_type, "manifests": entries}).encode()
    server.http("PUT", "/v2/x/manifests/latest", index, {"Content-Type": index_type})
    name = parse_tagged(f"{server.address}/x")
    result = pull(name, stores, client, platform=from_text("linux/arm64/v8"))[0]
    assert result.image_id == images["arm64"].image_id
    assert result.digest == skopeo_digest_raw(str(name))
    assert pull(name, stores, client, platform=from_text("linux/amd64"))[0].image_id == images["amd64"].image_id
    with pytest.raises(NoMatchingManifest, match="no matching manifest for linux/s390x in the manifest"):
        pull(name, stores, client, platform=from_text("linux/s390x"))
    single = parse(f"{server.address}/x:amd64")
    pull(single, stores, client, platform=from_text("linux/arm64"), report=events)
    assert events.lines()[-1].endswith("wanted linux/arm64, actual: linux/amd64")


def skopeo_digest_raw(name: str) -> str:
    """The digest of what the name points at itself, an index included."""
    command = ["skopeo", "inspect", "--tls-verify=false", "--raw", f"docker://{name}"]
    raw = subprocess.run(command, check=True, capture_output=True).stdout
    return "sha256:" + hashlib.sha256(raw).hexdigest()


def test_names_that_are_not_there_have_docker_s_messages(
    server: Registry, stores: Stores, client: RegistryClient
) -> None:
    with pytest.raises(PullRefused) as raised:
        pull(parse(f"{server.address}/x:absent"), stores, client)
    assert str(raised.value) == (
        f"manifest for {server.address}/x:absent not found: manifest unknown: manifest unknown"
    )
    with pytest.raises(PullRefused, match=r"repository .* not found: name unknown"):
        pull(parse(f"{server.address}/x"), stores, client, all_tags=True)


# Push


def test_a_pulled_image_keeps_its_digest_where_its_blobs_are_or_can_be_mounted(
    server: Registry, stores: Stores, client: RegistryClient, events: Events, layered_image: TestImage
) -> None:
    pull(parse(server.upload(layered_image, "here")), stores, client)
    there = tag(stores, layered_image, f"{server.address}/there:1")
    result = push(there, stores, client, report=events)[0]
    assert result.digest == layered_image.manifest_digest == skopeo_digest(str(there))
    assert sum(event.status == "Mounted from here" for event in events) == 4
    assert bodies(server, "PATCH") == []
    assert events.lines()[0] == f"The push refers to repository [{server.address}/there]"
    assert events.lines()[-1] == f"1: digest: {result.digest} size: {len(layered_image.manifest)}"
    assert events[-1].aux == {"Tag": "1", "Digest": result.digest, "Size": len(layered_image.manifest)}
    events.clear()
    push(there, stores, client, report=events)
    assert sum(event.status == "Layer already exists" for event in events) == 4
    known = stores.images.digests(ImageID(layered_image.image_id))
    assert (f"{server.address}/there", result.digest) in known


def test_kept_blobs_keep_the_digest_anywhere(
    server: Registry, other: Registry, stores: Stores, client_with: Any, layered_image: TestImage
) -> None:
    client = client_with(keep_blobs=True)
    pull(parse(server.upload(layered_image, "x")), stores, client)
    there = tag(stores, layered_image, f"{other.address}/x:1")
    assert push(there, stores, client)[0].digest == layered_image.manifest_digest == skopeo_digest(str(there))


def test_without_them_layers_are_compressed_the_same_way_every_time(
    server: Registry, other: Registry, stores_at: Any, client: RegistryClient, layered_image: TestImage
) -> None:
    name = parse(server.upload(layered_image, "x"))
    digests = set()
    for number in range(2):
        stores = stores_at(f"root-{number}")
        pull(name, stores, client)
        there = tag(stores, layered_image, f"{other.address}/x{number}:1")
        digests.add(push(there, stores, client)[0].digest)
        assert skopeo_digest(str(there)) in digests
    assert len(digests) == 1
    back = stores_at("back")
    assert pull(there, back, client)[0].image_id == layered_image.image_id
    assert b"".join(back.layers.tar(back.layers.get(ChainID(layered_image.chain_ids[0])))) == layered_image.layers[0]


@pytest.mark.parametrize("kept", [True, False])
def test_a_push_says_how_far_it_is(
    server: Registry, other: Registry, stores: Stores, client_with: Any, events: Events, monkeypatch: Any, kept: bool
) -> None:
    monkeypatch.setattr(uploads, "_INTERVAL", 0.0)
    content = random.Random(1).randbytes(5 << 20)
    client = client_with(keep_blobs=kept)
    pull(parse_tagged(server.upload(TestImage([LayerTar().file("a", content).bytes()]), "app")), stores, client)
    name = f"{other.address}/app:1"
    stores.images.tag(stores.images.resolve(f"{server.address}/app").id, parse_tagged(name))
    push(parse_tagged(name), stores, client, report=events)
    places = [event.current for event in events if event.status == "Pushing"]
    assert places[0] == 0
    assert places == sorted(places)
    assert len(set(places)) >= 5
    assert places[-1] == {event.total for event in events if event.status == "Pushing" and event.current}.pop()


def test_an_image_that_never_was_in_a_registry_goes_as_docker_sends_it(
    server: Registry, stores: Stores, client: RegistryClient
) -> None:
    image = TestImage([LayerTar().file("a", "a").bytes()], docker=True)
    with stores.layers.begin() as transaction:
        transaction.stage(None).fill_from(io.BytesIO(image.layers[0]))
        transaction.commit()
        stores.images.create(image.config.data)
    reference = tag(stores, image, f"{server.address}/x:1")
    push(reference, stores, client)
    headers, raw = server.http("GET", "/v2/x/manifests/1", headers={"Accept": DOCKER_MANIFEST})
    assert headers["content-type"] == DOCKER_MANIFEST
    document = json.loads(raw)
    assert list(document) == ["schemaVersion", "mediaType", "config", "layers"]
    assert list(document["layers"][0]) == ["mediaType", "size", "digest"]
    assert document["layers"][0]["mediaType"] == DOCKER_LAYER_GZIP
    assert raw == json.dumps(document, indent=3).encode()


def test_a_second_push_sends_the_changed_layer_only(
    server: Registry, stores: Stores, client: RegistryClient, layered_image: TestImage
) -> None:
    pull(parse(server.upload(layered_image, "x")), stores, client)
    push(tag(stores, layered_image, f"{server.address}/app:1"), stores, client)
    changed = TestImage([*layered_image.layers, LayerTar().file("changed", "changed").bytes()])
    with stores.layers.begin() as transaction:
        layer = transaction.stage(stores.layers.get(ChainID(layered_image.chain_ids[-1])))
        layer.fill_from(io.BytesIO(changed.layers[-1]))
        transaction.commit()
        stores.images.create(changed.config.data)
    before = len(bodies(server, "PATCH"))
    reference = tag(stores, changed, f"{server.address}/app:2")
    push(reference, stores, client)
    assert len(bodies(server, "PATCH")) - before == 1
    assert pull(reference, stores, client)[0].image_id == changed.image_id


def test_all_tags_go_together(server: Registry, stores: Stores, client: RegistryClient) -> None:
    image = TestImage([LayerTar().file("a").bytes()])
    pull(parse(server.upload(image, "x")), stores, client)
    for name in ("one", "two"):
        tag(stores, image, f"{server.address}/y:{name}")
    results = push(parse(f"{server.address}/y"), stores, client, all_tags=True)
    assert [(result.reference.tag, result.digest) for result in results] == [
        ("one", image.manifest_digest),
        ("two", image.manifest_digest),
    ]


def test_what_cannot_be_pushed_has_docker_s_messages(server: Registry, stores: Stores, client: RegistryClient) -> None:
    image = TestImage([])
    pull(parse(server.upload(image, "x")), stores, client)
    with pytest.raises(NothingToPush, match=f"An image does not exist locally with the tag: {server.address}/absent"):
        push(parse_tagged(f"{server.address}/absent"), stores, client)
    with pytest.raises(NothingToPush, match=f"tag does not exist: {server.address}/x:2"):
        push(parse(f"{server.address}/x:2"), stores, client)
    with pytest.raises(InvalidArgument, match="cannot push a digest reference"):
        push(parse(f"{server.address}/x@{image.manifest_digest}"), stores, client)


def test_manifests_and_kept_blobs_go_with_their_image(server: Registry, stores: Stores, client_with: Any) -> None:
    image = TestImage([LayerTar().file("a").bytes()])
    pull(parse(server.upload(image, "x")), stores, client_with(keep_blobs=True))
    originals.prune(stores)
    blob = image.layer_blobs[0]
    assert originals.kept_blob(stores.root, Digest(blob.digest), len(blob.data))
    assert len(originals.manifests_of(stores.root, ImageID(image.image_id))) == 1
    for reference in stores.images.references.of(ImageID(image.image_id)):
        stores.images.references.remove(reference)
    stores.images.delete(ImageID(image.image_id))
    originals.prune(stores)
    assert not Path(stores.root.sub("lamina/manifests")).exists()
    assert not Path(stores.root.sub("lamina/blobs")).exists()


# Credentials


def test_a_registry_with_a_password(
    registry: Callable[..., Registry], stores: Stores, client_with: Any, tmp_path: Path
) -> None:
    server = registry(users={"me": "secret"})
    image = TestImage([LayerTar().file("a").bytes()])
    name = parse(server.upload(image, "x"))
    asked = f'Head "http://{server.address}/v2/x/manifests/{name.tag}"'
    with pytest.raises(Unauthorized, match=f"^{asked}: no basic auth credentials$"):
        pull(name, stores, client_with())
    config = DockerConfig(str(tmp_path / "config"))
    with pytest.raises(Unauthorized):
        login(config, server.address, "me", "wrong", Settings())
    login(config, server.address, "me", "secret", Settings())
    assert config.get(server.address) == Credential("me", "secret")
    pull(name, stores, client_with(config))
    there = tag(stores, image, f"{server.address}/y:1")
    with pytest.raises(Unauthorized, match=r"^no basic auth credentials$"):
        push(there, stores, client_with())
    push(there, stores, client_with(config))
    place = DistributionMetadata(stores.root).places(stores.images.get(ImageID(image.image_id)).config.diff_ids[0])[-1]
    assert place.repository == f"{server.address}/y"
    assert len(place.hmac) == 64


# The official busybox


def test_the_official_busybox_keeps_its_published_digest(
    server: Registry, stores: Stores, client: RegistryClient, shared_images: Path
) -> None:
    layout = shared_images / "busybox-1.38.0-glibc.oci"
    name = f"{server.address}/busybox:1"
    command = ["skopeo", "copy", "--dest-tls-verify=false", "--preserve-digests", f"oci:{layout}", f"docker://{name}"]
    subprocess.run(command, check=True, capture_output=True)
    published = json.loads((layout / "index.json").read_text())["manifests"][0]["digest"]
    result = pull(parse(name), stores, client)[0]
    there = parse(f"{server.address}/copy:1")
    stores.images.references.add(there, result.image_id)
    assert published == skopeo_digest(name) == result.digest
    assert push(there, stores, client)[0].digest == published == skopeo_digest(str(there))
