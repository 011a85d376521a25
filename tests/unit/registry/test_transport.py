"""Retries and redirects."""

from __future__ import annotations

import email.utils
import itertools
import time

import pytest

from lamina.digest import Digest
from lamina.oci.descriptor import Descriptor
from lamina.reference import parse_tagged
from lamina.registry.client import RegistryClient
from lamina.registry.credentials import Credential, GivenCredentials
from lamina.registry.errors import (
    AuthenticationRequired,
    BlobUnknown,
    ConnectionFailed,
    ManifestUnknown,
    RefusedRedirect,
    ServerFailure,
)
from support.fake_registry import Asked, FakeRegistry, Reply, error, once, times
from support.images import TestImage

_MANIFESTS = "/v2/x/manifests/"


@pytest.fixture
def reference(fake_registry: FakeRegistry) -> str:
    return fake_registry.add(TestImage([]))


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_failure_that_may_pass_is_tried_again(
    fake_registry: FakeRegistry, client: RegistryClient, waits, reference: str, status: int
) -> None:
    fake_registry.on("GET", _MANIFESTS, times(2, error(status, "UNAVAILABLE")))
    client.manifest(parse_tagged(reference))
    assert len(fake_registry.paths("GET", _MANIFESTS)) == 3
    assert waits == [0.001, 0.002]


def test_a_storm_of_failures_ends(fake_registry: FakeRegistry, client: RegistryClient, reference: str) -> None:
    fake_registry.on("GET", _MANIFESTS, error(429, "TOOMANYREQUESTS", "slow down"))
    with pytest.raises(ServerFailure, match="toomanyrequests: slow down"):
        client.manifest(parse_tagged(reference))
    assert len(fake_registry.paths("GET", _MANIFESTS)) == 5


@pytest.mark.parametrize("kind", ["seconds", "date"])
def test_retry_after_is_honoured(fake_registry: FakeRegistry, client_with, waits, reference: str, kind: str) -> None:
    value = "7" if kind == "seconds" else email.utils.formatdate(time.time() + 8, usegmt=True)
    fake_registry.on("GET", _MANIFESTS, once(error(429, "TOOMANYREQUESTS", headers={"Retry-After": value})))
    client_with(backoff_limit=60.0).manifest(parse_tagged(reference))
    assert 6 <= waits[0] <= 8


def test_retry_after_has_a_limit(fake_registry: FakeRegistry, client_with, waits, reference: str) -> None:
    fake_registry.on("GET", _MANIFESTS, once(error(503, "UNAVAILABLE", headers={"Retry-After": "9" * 400})))
    client_with(backoff_limit=30.0).manifest(parse_tagged(reference))
    assert waits == [30.0]


def test_a_document_that_breaks_off_is_asked_for_again(
    fake_registry: FakeRegistry, client: RegistryClient, reference: str
) -> None:
    fake_registry.on("GET", _MANIFESTS, times(3, Reply(200, {}, b"{", length=100)))
    assert client.manifest(parse_tagged(reference)).raw.endswith(b"}")


def test_a_host_that_never_answered_is_not_tried_again(client: RegistryClient, waits) -> None:
    refused = r'Get "http://127\.0\.0\.1:1/v2/": dial tcp 127\.0\.0\.1:1: connect: connection refused'
    with pytest.raises(ConnectionFailed, match=refused):
        client.manifest(parse_tagged("127.0.0.1:1/x"))
    assert waits == []


def test_an_error_that_will_not_pass_is_not_tried_again(fake_registry: FakeRegistry, client: RegistryClient) -> None:
    with pytest.raises(ManifestUnknown, match="manifest unknown: manifest unknown"):
        client.manifest(parse_tagged(f"{fake_registry.address}/x"))
    assert len(fake_registry.asked) == 1


# Mirrors


@pytest.mark.parametrize("failure", [error(404, "MANIFEST_UNKNOWN"), error(401, "UNAUTHORIZED"), error(500, "UNKNOWN")])
def test_a_mirror_that_cannot_serve_is_passed_over(
    fake_registry: FakeRegistry, other_registry: FakeRegistry, client_with, reference: str, failure: Reply
) -> None:
    other_registry.on("GET", "/v2/", failure)
    client = client_with(mirrors=((fake_registry.address, (other_registry.url,)),))
    client.manifest(parse_tagged(reference))
    assert other_registry.asked
    assert fake_registry.asked


def test_a_mirror_that_is_down_is_passed_over(fake_registry: FakeRegistry, client_with, reference: str) -> None:
    client_with(mirrors=((fake_registry.address, ("http://127.0.0.1:1",)),)).manifest(parse_tagged(reference))


def test_a_mirror_that_has_it_spares_the_registry(
    fake_registry: FakeRegistry, other_registry: FakeRegistry, client_with, reference: str
) -> None:
    other_registry.add(TestImage([]))
    client_with(mirrors=((fake_registry.address, (other_registry.url,)),)).manifest(parse_tagged(reference))
    assert fake_registry.asked == []


def test_a_mirror_does_not_get_the_registry_s_credentials(
    fake_registry: FakeRegistry, other_registry: FakeRegistry, client_with, reference: str
) -> None:
    other_registry.on("GET", "/v2/", error(401, "UNAUTHORIZED", headers={"WWW-Authenticate": 'Basic realm="mirror"'}))
    credentials = GivenCredentials(fake_registry.address, Credential("me", "secret"))
    client = client_with(credentials, mirrors=((fake_registry.address, (other_registry.url,)),))
    client.manifest(parse_tagged(reference))
    assert all("authorization" not in asked.headers for asked in other_registry.asked)


# Redirects


def _basic(fake_registry: FakeRegistry) -> GivenCredentials:
    challenge = error(401, "UNAUTHORIZED", headers={"WWW-Authenticate": 'Basic realm="x"'})
    fake_registry.on("GET", "/v2/", lambda asked: None if "authorization" in asked.headers else challenge)
    return GivenCredentials(fake_registry.address, Credential("me", "secret"))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_host_goes_without_credentials(
    fake_registry: FakeRegistry, other_registry: FakeRegistry, client_with, reference: str, status: int
) -> None:
    other_registry.add(TestImage([]))
    client = client_with(_basic(fake_registry))
    client.manifest(parse_tagged(reference))
    fake_registry.on("GET", _MANIFESTS, Reply(status, {"Location": f"{other_registry.url}{_MANIFESTS}latest?signed"}))
    client.manifest(parse_tagged(reference))
    assert "authorization" in fake_registry.asked[-1].headers
    assert "authorization" not in other_registry.asked[0].headers


def test_a_redirect_inside_the_registry_keeps_the_credentials(
    fake_registry: FakeRegistry, client_with, reference: str
) -> None:
    client = client_with(_basic(fake_registry))
    client.manifest(parse_tagged(reference))
    fake_registry.on("GET", f"{_MANIFESTS}latest", once(Reply(307, {"Location": "/v2/x/manifests/latest?again=1"})))
    client.manifest(parse_tagged(reference))
    assert "authorization" in fake_registry.asked[-1].headers


def test_a_challenge_from_where_a_redirect_led_is_not_answered(
    fake_registry: FakeRegistry, other_registry: FakeRegistry, client_with, reference: str
) -> None:
    client = client_with(_basic(fake_registry))
    other_registry.on("GET", "/", error(401, "UNAUTHORIZED", headers={"WWW-Authenticate": 'Basic realm="give"'}))
    client.manifest(parse_tagged(reference))
    fake_registry.on("GET", _MANIFESTS, Reply(307, {"Location": other_registry.url}))
    with pytest.raises(AuthenticationRequired, match="unauthorized"):
        client.manifest(parse_tagged(reference))
    assert all("authorization" not in asked.headers for asked in other_registry.asked)


def test_a_way_home_does_not_bring_the_credentials_back(
    fake_registry: FakeRegistry, other_registry: FakeRegistry, client_with, reference: str
) -> None:
    client = client_with(_basic(fake_registry))
    client.manifest(parse_tagged(reference))
    seen: list[Asked] = []
    fake_registry.on("GET", "/elsewhere", lambda asked: seen.append(asked) or Reply(200, {}, b"{}"))
    other_registry.on("GET", "/", Reply(307, {"Location": f"{fake_registry.url}/elsewhere"}))
    fake_registry.on("GET", _MANIFESTS, Reply(307, {"Location": other_registry.url}))
    client.manifest(parse_tagged(reference))
    assert "authorization" not in seen[0].headers


@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/passwd",
        "ftp://host/x",
        "gopher://host/x",
        "http://169.254.169.254/latest/meta-data/",
        "http://[fe80::1]/",
        "http://[::ffff:169.254.169.254]/",
        "http://[fd00:ec2::254]/",
        "http://0.0.0.0/",
        "http://2852039166/",
        "http://host:99999/",
        "https://",
    ],
)
def test_a_redirect_out_of_bounds_is_refused(
    fake_registry: FakeRegistry, client: RegistryClient, location: str
) -> None:
    fake_registry.on("GET", _MANIFESTS, Reply(307, {"Location": location}))
    with pytest.raises(RefusedRedirect, match="refused to follow"):
        client.manifest(parse_tagged(f"{fake_registry.address}/x"))
    assert len(fake_registry.asked) == 1


def test_a_redirect_from_https_to_http_is_refused(client: RegistryClient) -> None:
    with pytest.raises(RefusedRedirect, match="plain http"):
        client._transport.checked_location("https://registry.example/v2/", "http://registry.example/v2/")


def test_a_circle_of_redirects_ends(fake_registry: FakeRegistry, client: RegistryClient) -> None:
    numbers = itertools.count()
    fake_registry.on("GET", _MANIFESTS, lambda asked: Reply(307, {"Location": f"{_MANIFESTS}latest?{next(numbers)}"}))
    with pytest.raises(RefusedRedirect, match="too many redirects"):
        client.manifest(parse_tagged(f"{fake_registry.address}/x"))
    assert len(fake_registry.asked) == 11


def test_a_missing_blob_is_told_from_a_missing_manifest(fake_registry: FakeRegistry, client: RegistryClient) -> None:
    fake_registry.on("GET", "/v2/x/blobs/", Reply(404, {}, b"<html>not found</html>"))
    reference = parse_tagged(f"{fake_registry.address}/x")
    with pytest.raises(BlobUnknown, match="blob unknown"):
        list(client.blob(reference, Descriptor("", Digest.of(b"x"), 1)))


def test_text_from_a_registry_cannot_command_a_terminal(fake_registry: FakeRegistry, client: RegistryClient) -> None:
    fake_registry.on("GET", _MANIFESTS, error(404, "MANIFEST_UNKNOWN", "\x1b[2Jgone\r\n\u202e" + "a" * 10_000))
    with pytest.raises(ManifestUnknown) as raised:
        client.manifest(parse_tagged(f"{fake_registry.address}/x"))
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 1000


def test_a_mirror_that_lacks_a_blob_is_passed_over_for_it(
    fake_registry: FakeRegistry, other_registry: FakeRegistry, client_with, reference: str
) -> None:
    other_registry.add_manifest(TestImage([]).manifest, TestImage([]).manifest_media_type)
    digest = Digest(fake_registry.add_blob(b"a layer"))
    client = client_with(mirrors=((fake_registry.address, (other_registry.url,)),))
    client.manifest(parse_tagged(reference))
    assert b"".join(client.blob(parse_tagged(reference), Descriptor("", digest, 7))) == b"a layer"
    assert fake_registry.paths("GET", "/manifests/") == []
    assert other_registry.paths("GET", "/blobs/") == fake_registry.paths("GET", "/blobs/")
