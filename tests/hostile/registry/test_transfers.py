"""Servers that break off, storm, redirect or ask for what is not theirs (hostile input 12)."""

from __future__ import annotations

import json
import random
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lamina.digest import ChainID
from lamina.distribution.pull import pull
from lamina.distribution.stores import Stores
from lamina.errors import Corrupt, LaminaError, Unavailable
from lamina.progress import Event
from lamina.reference import parse_tagged
from lamina.registry.client import RegistryClient
from lamina.registry.errors import BrokenTransfer, RefusedRedirect
from lamina.registry.settings import Settings
from support.fake_registry import Asked, FakeRegistry, Reply, error, times
from support.images import LayerTar, TestImage
from support.stores import content, open_stores

Refused = Callable[..., str]


def test_layers_that_break_off_again_and_again_arrive(
    fake_registry: FakeRegistry, pulled: Callable[..., Any], stores: Stores
) -> None:
    layers = [LayerTar().file(f"f{number}", bytes([number]) * 3_000_000).bytes() for number in range(4)]
    image = TestImage(layers, compress="none")
    fake_registry.add(image)
    seen: dict[str, int] = {}

    def breaking(asked: Asked) -> Reply | None:
        seen[asked.path] = seen.get(asked.path, 0) + 1
        reply = fake_registry._own(asked)
        if len(reply.body) < 10_000 or seen[asked.path] > 3:
            return reply
        return reply._replace(body=reply.body[:900_001], length=len(reply.body))

    fake_registry.on("GET", "/v2/x/blobs/", breaking)
    assert pulled()[0].image_id == image.image_id
    assert [layer.diff_id for layer in stores.layers.stack(ChainID(image.chain_ids[-1]))] == image.diff_ids


def test_a_layer_that_never_arrives_leaves_nothing(
    fake_registry: FakeRegistry, image: TestImage, refused: Refused
) -> None:
    fake_registry.add(image)
    blob = image.layer_blobs[1]
    fake_registry.on("GET", f"/v2/x/blobs/{blob.digest}", Reply(200, {}, blob.data[:5], length=len(blob.data)))
    assert "broke off after 5" in refused(BrokenTransfer)


def test_a_missing_layer_leaves_nothing(fake_registry: FakeRegistry, image: TestImage, refused: Refused) -> None:
    fake_registry.add(image)
    del fake_registry.blobs[image.layer_blobs[0].digest]
    assert refused(LaminaError).startswith("blob unknown")


def test_the_first_of_many_layers_that_fails_stops_the_others(fake_registry: FakeRegistry, refused: Refused) -> None:
    image = TestImage([LayerTar().file(f"f{number}").bytes() for number in range(30)])
    fake_registry.add(image)
    fake_registry.blobs[image.layer_blobs[1].digest] = b"x" * len(image.layer_blobs[1].data)
    refused(Corrupt)
    assert len(fake_registry.paths("GET", "/blobs/")) < 20


def test_a_storm_of_429_and_503_is_survived(fake_registry: FakeRegistry, image: TestImage, pulled: Any) -> None:
    fake_registry.add(image)
    fake_registry.on("GET", "/v2/", times(3, error(503, "UNAVAILABLE")))
    fake_registry.on("GET", "/v2/x/blobs/", times(3, error(429, "TOOMANYREQUESTS", headers={"Retry-After": "0"})))
    assert pulled()[0].image_id == image.image_id


def test_a_storm_without_end_is_an_error(fake_registry: FakeRegistry, image: TestImage, refused: Refused) -> None:
    fake_registry.add(image)
    fake_registry.on("GET", "/v2/x/blobs/", error(500, "UNKNOWN", "no"))
    refused(Unavailable)


@pytest.mark.parametrize("location", ["file:///etc/passwd", "http://169.254.169.254/latest/", "http://[fe80::1]/"])
def test_a_layer_that_is_redirected_out_of_bounds_leaves_nothing(
    fake_registry: FakeRegistry, image: TestImage, refused: Refused, location: str
) -> None:
    fake_registry.add(image)
    blob = image.layer_blobs[0].digest
    fake_registry.on("GET", f"/v2/x/blobs/{blob}", Reply(307, {"Location": location}))
    assert "refused to follow" in refused(RefusedRedirect)


def test_addresses_of_ordinary_layers_are_never_asked(
    fake_registry: FakeRegistry, image: TestImage, pulled: Any
) -> None:
    with FakeRegistry() as attacker:
        manifest = json.loads(image.manifest)
        for layer in manifest["layers"]:
            layer["urls"] = [f"{attacker.url}/layer"]
        fake_registry.add(image)
        fake_registry.add_manifest(manifest, image.manifest_media_type)
        pulled()
        assert attacker.asked == []


def test_a_layer_that_is_labelled_as_encoded_is_taken_as_it_is(
    fake_registry: FakeRegistry, image: TestImage, pulled: Any
) -> None:
    fake_registry.add(image)
    blob = image.layer_blobs[0]
    fake_registry.on("GET", f"/v2/x/blobs/{blob.digest}", Reply(200, {"Content-Encoding": "gzip"}, blob.data))
    assert pulled()[0].image_id == image.image_id


@pytest.fixture
def named_registry(
    image: TestImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[FakeRegistry, str, str]]:
    """A registry that speaks TLS under a name that is not the loopback's; it, a reference and its certificate."""
    certificate, key = str(tmp_path / "certificate.pem"), str(tmp_path / "key.pem")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=registry.test"]
    command += ["-addext", "subjectAltName=DNS:registry.test", "-keyout", key, "-out", certificate]
    subprocess.run(command, check=True, capture_output=True)
    resolve = socket.getaddrinfo

    def resolver(host: str | bytes, *rest: Any, **options: Any) -> Any:
        return resolve("127.0.0.1" if host in ("registry.test", b"registry.test") else host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    with FakeRegistry(certificate=(certificate, key)) as registry:
        registry.add(image)
        yield registry, f"registry.test:{registry.port}/x", certificate


def _pull_named(reference: str, stores: Stores, **settings: Any) -> None:
    with RegistryClient(Settings(backoff=0.001, attempts=2, **settings)) as client:
        pull(parse_tagged(reference), stores, client)


def test_a_certificate_that_nobody_vouches_for_is_refused(
    named_registry: tuple[FakeRegistry, str, str], stores: Stores
) -> None:
    registry, reference, _ = named_registry
    with pytest.raises(LaminaError, match="certificate"):
        _pull_named(reference, stores)
    assert registry.asked == []  # not even over plain http


def test_a_certificate_for_another_name_is_refused(
    named_registry: tuple[FakeRegistry, str, str], stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, reference, certificate = named_registry
    resolve = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest, **options: resolve("127.0.0.1", *rest, **options))
    with pytest.raises(LaminaError, match=r"x509: certificate is not valid for other\.test"):
        _pull_named(reference.replace("registry.test", "other.test"), stores, ca_file=certificate)
    assert registry.asked == []


def test_a_configured_authority_is_trusted(named_registry: tuple[FakeRegistry, str, str], stores: Stores) -> None:
    _, reference, certificate = named_registry
    _pull_named(reference, stores, ca_file=certificate)


def test_an_authority_in_certs_d_is_trusted_for_its_registry(
    named_registry: tuple[FakeRegistry, str, str], stores: Stores, tmp_path: Path
) -> None:
    registry, reference, certificate = named_registry
    directory = tmp_path / "certs.d" / f"registry.test:{registry.port}"
    directory.mkdir(parents=True)
    (directory / "ca.crt").symlink_to(certificate)
    _pull_named(reference, stores, certificate_directories=(str(tmp_path / "certs.d"),))


def test_an_insecure_registry_needs_no_certificate(
    named_registry: tuple[FakeRegistry, str, str], stores: Stores
) -> None:
    _, reference, _ = named_registry
    _pull_named(reference, stores, insecure=("registry.test",))


def test_an_interrupted_pull_leaves_nothing(fake_registry: FakeRegistry, image: TestImage, stores: Stores) -> None:
    fake_registry.add(image)
    before = content(stores.root.path)

    def interrupt(event: Event) -> None:
        if event.status == "Pulling fs layer":
            raise KeyboardInterrupt

    with RegistryClient(Settings(backoff=0.001)) as client, pytest.raises(KeyboardInterrupt):
        pull(parse_tagged(f"{fake_registry.address}/x"), stores, client, report=interrupt)
    assert content(stores.root.path) == before
    with RegistryClient(Settings(backoff=0.001)) as client:
        pull(parse_tagged(f"{fake_registry.address}/x"), stores, client)


_MEASURED = """
import os, sys, threading, time
sys.path[:0] = sys.argv[3:]
from lamina.distribution.pull import pull
from lamina.reference import parse_tagged
from lamina.registry.client import RegistryClient
from lamina.registry.settings import Settings
from support.stores import open_stores

def resident(process):  # kB
    with open(f"/proc/{process}/status") as status:
        return sum(int(line.split()[1]) for line in status if line.startswith("VmRSS"))

def watch():
    global peak
    while not done.wait(0.01):
        children = open(f"/proc/self/task/{os.getpid()}/children").read().split()
        for name in os.listdir("/proc/self/task"):
            children += open(f"/proc/self/task/{name}/children").read().split()
        try:
            peak = max(peak, sum(map(resident, {"self", *children})))
        except OSError:
            continue

peak, done = 0, threading.Event()
watcher = threading.Thread(target=watch)
watcher.start()
try:
    pull(parse_tagged(sys.argv[1]), open_stores(sys.argv[2]), RegistryClient(Settings()))
finally:
    done.set()
watcher.join()
print(peak)
"""


def test_memory_does_not_grow_with_the_layer(fake_registry: FakeRegistry, tmp_path: Path) -> None:
    noise = random.Random(1).randbytes(1 << 20)
    image = TestImage([LayerTar().file("large", noise * 150).bytes()], compress="none")
    fake_registry.add(image)
    root, support = str(tmp_path / "measured"), str(Path(__file__).resolve().parents[2])
    command = [sys.executable, "-c", _MEASURED, f"{fake_registry.address}/x:latest", root, support]
    peak = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert peak < 120_000
    assert [each.id for each in open_stores(root).images.all()] == [image.image_id]
