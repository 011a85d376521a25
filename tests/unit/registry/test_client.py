"""Documents and blobs, in and out."""

from __future__ import annotations

import gzip
import itertools
import time
from collections.abc import Iterator

import pytest

from lamina.digest import Digest, DigestMismatch, hasher
from lamina.errors import Cancelled
from lamina.oci.descriptor import Descriptor
from lamina.reference import Reference, parse, parse_tagged
from lamina.registry.client import RegistryClient
from lamina.registry.download import WrongSize
from lamina.registry.errors import BlobUnknown, BrokenTransfer, NameUnknown, RefusedRedirect, ServerFailure
from support.fake_registry import Asked, FakeRegistry, Reply, error, once, times
from support.images import TestImage

_DATA = bytes(itertools.islice(itertools.cycle(range(251)), 3 << 20))


def descriptor(data: bytes = _DATA, size: int | None = None) -> Descriptor:
    return Descriptor("", Digest.of(data), len(data) if size is None else size)


@pytest.fixture
def reference(fake_registry: FakeRegistry) -> Reference:
    fake_registry.add_blob(_DATA)
    return parse_tagged(f"{fake_registry.address}/x")


def ranges(registry: FakeRegistry) -> list[str]:
    return [asked.headers.get("range", "") for asked in registry.asked if "/blobs/" in asked.path]


# Manifests and tags


def test_a_manifest_comes_with_its_type_and_digest(fake_registry: FakeRegistry, client: RegistryClient) -> None:
    image = TestImage([])
    fetched = client.manifest(parse(fake_registry.add(image)))
    assert fetched == (image.manifest, image.manifest_media_type, image.manifest_digest)
    by_digest = parse(f"{fake_registry.address}/x@{image.manifest_digest}")
    assert client.manifest(by_digest) == fetched


def test_a_manifest_that_is_not_what_its_digest_says_is_refused(
    fake_registry: FakeRegistry, client: RegistryClient
) -> None:
    wanted = Digest.of(b"another")
    fake_registry.manifests[("x", wanted)] = ("application/json", b"{}")
    with pytest.raises(DigestMismatch, match="expected sha256"):
        client.manifest(parse(f"{fake_registry.address}/x@{wanted}"))


def test_a_manifest_by_another_algorithm_is_verified_by_it(fake_registry: FakeRegistry, client: RegistryClient) -> None:
    seen = hasher("sha512")
    seen.update(b"{}")
    wanted = Digest.from_hash(seen, "sha512")
    fake_registry.manifests[("x", wanted)] = ("application/json", b"{}")
    assert client.manifest(parse(f"{fake_registry.address}/x@{wanted}")).digest == wanted
    fake_registry.manifests[("x", wanted)] = ("application/json", b"[]")
    with pytest.raises(DigestMismatch):
        client.manifest(parse(f"{fake_registry.address}/x@{wanted}"))


def test_a_compressed_document_is_read(fake_registry: FakeRegistry, client: RegistryClient, reference) -> None:
    body = gzip.compress(b"{}")
    fake_registry.on("GET", "/v2/x/manifests/", Reply(200, {"Content-Encoding": "gzip"}, body))
    assert client.manifest(reference).raw == b"{}"


def test_all_pages_of_tags_are_read(fake_registry: FakeRegistry, client: RegistryClient, reference: Reference) -> None:
    def page(asked: Asked) -> Reply:
        if asked.query.get("last") == "b":
            return Reply(200, {}, b'{"tags": ["c"]}')
        return Reply(200, {"Link": '</v2/x/tags/list?n=1000&last=b>; rel="next"'}, b'{"tags": ["a", "b"]}')

    fake_registry.on("GET", "/v2/x/tags/list", page)
    assert client.tags(reference) == ["a", "b", "c"]


def test_a_repository_that_is_not_there_has_no_tags(client: RegistryClient, reference: Reference) -> None:
    with pytest.raises(NameUnknown, match="repository name not known"):
        client.tags(reference._replace(path="absent"))


@pytest.mark.parametrize("tags", ['["../x"]', "[1]", '"a"', '["a b"]'])
def test_tags_that_are_none_are_refused(fake_registry: FakeRegistry, client: RegistryClient, reference, tags) -> None:
    fake_registry.on("GET", "/v2/x/tags/list", Reply(200, {}, f'{{"tags": {tags}}}'.encode()))
    with pytest.raises(Exception, match="tags"):
        client.tags(reference)


# Blobs in


def test_a_blob_comes_as_it_is(client: RegistryClient, reference: Reference) -> None:
    assert b"".join(client.blob(reference, descriptor())) == _DATA


def test_an_empty_blob_comes(fake_registry: FakeRegistry, client: RegistryClient, reference: Reference) -> None:
    fake_registry.add_blob(b"")
    assert list(client.blob(reference, descriptor(b""))) == []


def test_a_missing_blob_is_an_error(client: RegistryClient, reference: Reference) -> None:
    with pytest.raises(BlobUnknown, match="blob unknown"):
        list(client.blob(reference, descriptor(b"absent")))


def test_a_broken_download_goes_on_where_it_stopped(
    fake_registry: FakeRegistry, client: RegistryClient, reference: Reference
) -> None:
    fake_registry.on("GET", "/v2/x/blobs/", once(Reply(200, {}, _DATA[: 2 << 20], length=len(_DATA))))
    assert b"".join(client.blob(reference, descriptor())) == _DATA
    assert ranges(fake_registry) == ["", f"bytes={2 << 20}-"]


def test_who_watches_a_slow_download_sees_it_go_on(
    fake_registry: FakeRegistry, client: RegistryClient, reference: Reference
) -> None:
    def pieces() -> Iterator[bytes]:
        for start in range(0, 8000, 1000):
            yield _DATA[start : start + 1000]
            time.sleep(0.06)

    fake_registry.on("GET", "/v2/x/blobs/", lambda asked: Reply(200, {}, pieces()))
    assert len(list(client.blob(reference, descriptor(_DATA[:8000])))) >= 3


def test_what_came_before_a_break_is_not_asked_for_again(
    fake_registry: FakeRegistry, client: RegistryClient, reference: Reference
) -> None:
    fake_registry.on("GET", "/v2/x/blobs/", once(Reply(200, {}, _DATA[:1_234_567], length=len(_DATA))))
    assert b"".join(client.blob(reference, descriptor())) == _DATA
    assert ranges(fake_registry) == ["", "bytes=1234567-"]


def test_a_server_without_ranges_sends_it_all_again_and_nothing_is_passed_on_twice(
    fake_registry: FakeRegistry, client: RegistryClient, reference: Reference
) -> None:
    fake_registry.on("GET", "/v2/x/blobs/", Reply(200, {}, _DATA))
    fake_registry.on("GET", "/v2/x/blobs/", once(Reply(200, {}, _DATA[:1_000_001], length=len(_DATA))))
    assert b"".join(client.blob(reference, descriptor())) == _DATA


def test_the_hash_covers_what_came_before_and_after_a_break(
    fake_registry: FakeRegistry, client: RegistryClient, reference: Reference
) -> None:
    wrong = b"\xff" + _DATA[1 : 2 << 20]
    fake_registry.on("GET", "/v2/x/blobs/", once(Reply(200, {}, wrong, length=len(_DATA))))
    with pytest.raises(DigestMismatch, match="filesystem layer verification failed for digest sha256"):
        list(client.blob(reference, descriptor()))


@pytest.mark.parametrize("content_range", ["", "bytes 0-3145727/3145728", "bytes 1048576-3145727/99", "nonsense"])
def test_a_partial_answer_that_is_another_part_is_not_taken(
    fake_registry: FakeRegistry, client: RegistryClient, reference: Reference, content_range: str
) -> None:
    fake_registry.on("GET", "/v2/x/blobs/", Reply(206, {"Content-Range": content_range}, _DATA[1 << 20 :]))
    fake_registry.on("GET", "/v2/x/blobs/", once(Reply(200, {}, _DATA[: 1 << 20], length=len(_DATA))))
    with pytest.raises(BrokenTransfer, match="asked for bytes from 1048576"):
        list(client.blob(reference, descriptor()))


def test_a_download_without_headway_is_given_up(
    fake_registry: FakeRegistry, client: RegistryClient, reference: Reference
) -> None:
    fake_registry.on("GET", "/v2/x/blobs/", Reply(200, {}, _DATA[:100], length=len(_DATA)))
    with pytest.raises(BrokenTransfer, match="broke off after 100 of 3145728 bytes"):
        list(client.blob(reference, descriptor()))
    assert len(fake_registry.asked) == 5


def test_headway_starts_the_count_of_failures_anew(
    fake_registry: FakeRegistry, client_with, reference: Reference
) -> None:
    def third(asked: Asked) -> Reply:
        begin = int(asked.headers.get("range", "bytes=0-")[6:-1])
        end = min(begin + (1 << 20), len(_DATA))
        headers = {"Content-Range": f"bytes {begin}-{len(_DATA) - 1}/{len(_DATA)}"}
        return Reply(206 if begin else 200, headers if begin else {}, _DATA[begin:end], length=len(_DATA) - begin)

    fake_registry.on("GET", "/v2/x/blobs/", third)
    assert b"".join(client_with(attempts=2).blob(reference, descriptor())) == _DATA


def test_a_blob_that_goes_on_beyond_its_size_is_cut_off(
    fake_registry: FakeRegistry, client: RegistryClient, reference: Reference
) -> None:
    sent = itertools.count()

    def endless():
        for _ in sent:
            yield bytes(1 << 20)

    fake_registry.on("GET", "/v2/x/blobs/", Reply(200, {}, endless()))
    with pytest.raises(WrongSize, match="longer than the 3145728 bytes"):
        list(client.blob(reference, descriptor()))
    assert next(sent) < 50


@pytest.mark.parametrize("size", [10, len(_DATA) - 1, len(_DATA) + 1])
def test_a_size_that_differs_from_the_manifest_s_is_refused_at_once(
    client: RegistryClient, reference: Reference, size: int
) -> None:
    with pytest.raises(WrongSize, match=f"announces 3145728 bytes, the manifest {size}"):
        list(client.blob(reference, descriptor(size=size)))


def test_content_encoding_on_a_blob_does_not_change_its_bytes(
    fake_registry: FakeRegistry, client: RegistryClient
) -> None:
    data = gzip.compress(b"a layer")
    fake_registry.add_blob(data)
    fake_registry.on("GET", "/v2/x/blobs/", Reply(200, {"Content-Encoding": "gzip"}, data))
    reference = parse_tagged(f"{fake_registry.address}/x")
    assert b"".join(client.blob(reference, descriptor(data))) == data
    assert fake_registry.asked[0].headers["accept-encoding"] == "identity"


def test_a_cancelled_download_stops(fake_registry: FakeRegistry, client: RegistryClient, reference: Reference) -> None:
    reader = client.blob(reference, descriptor())
    chunks = iter(reader)
    next(chunks)
    reader.cancel()
    with pytest.raises(Cancelled):
        next(chunks)


# Foreign layers


def test_a_foreign_layer_gets_no_credentials(
    fake_registry: FakeRegistry, other_registry: FakeRegistry, client: RegistryClient
) -> None:
    other_registry.on("GET", "/layer", Reply(200, {}, _DATA))
    assert b"".join(client.foreign_blob(f"{other_registry.url}/layer", descriptor())) == _DATA
    challenge = error(401, "UNAUTHORIZED", headers={"WWW-Authenticate": 'Basic realm="give"'})
    other_registry.on("GET", "/layer", challenge)
    with pytest.raises(Exception, match="unauthorized"):
        list(client.foreign_blob(f"{other_registry.url}/layer", descriptor()))
    assert all("authorization" not in asked.headers for asked in other_registry.asked)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "http://169.254.169.254/", "ssh://host/x", ""])
def test_a_foreign_layer_out_of_bounds_is_refused(client: RegistryClient, url: str) -> None:
    with pytest.raises(RefusedRedirect, match="refused"):
        list(client.foreign_blob(url, descriptor()))


# Blobs and manifests out


def test_an_upload_of_unknown_length_is_streamed(
    fake_registry: FakeRegistry, client: RegistryClient, reference: Reference
) -> None:
    sent = client.upload_blob(reference, iter([b"one", b"", b"two"]))
    assert (sent.digest, sent.size) == (Digest.of(b"onetwo"), 6)
    assert fake_registry.blobs[sent.digest] == b"onetwo"
    assert [asked.method for asked in fake_registry.asked] == ["POST", "PATCH", "PUT"]
    assert fake_registry.asked[1].headers["transfer-encoding"] == "chunked"


def test_an_upload_of_known_length_needs_no_patch(
    fake_registry: FakeRegistry, client: RegistryClient, reference: Reference
) -> None:
    known = descriptor(b"onetwo")
    assert client.upload_blob(reference, iter([b"one", b"two"]), known=known) == known
    assert [asked.method for asked in fake_registry.asked] == ["POST", "PUT"]
    assert fake_registry.asked[1].headers["content-length"] == "6"


def test_an_upload_whose_commit_was_lost_is_found(
    fake_registry: FakeRegistry, client: RegistryClient, reference: Reference
) -> None:
    def lose(asked: Asked) -> Reply | None:
        if asked.method == "PUT" and len(fake_registry.paths("PUT", "/uploads/")) == 1:
            fake_registry._own(asked)
            return error(503, "UNAVAILABLE")
        return error(404, "BLOB_UPLOAD_UNKNOWN") if asked.method == "PUT" else None

    fake_registry.on("PUT", "/v2/x/blobs/uploads/", lose)
    assert client.upload_blob(reference, [b"data"]).digest == Digest.of(b"data")


def test_an_upload_that_is_refused_is_an_error(
    fake_registry: FakeRegistry, client: RegistryClient, reference: Reference
) -> None:
    fake_registry.on("PATCH", "/v2/x/blobs/uploads/", error(413, "SIZE_INVALID", "too large"))
    with pytest.raises(ServerFailure, match="size invalid: too large"):
        client.upload_blob(reference, [b"data"])


def test_a_place_to_upload_on_another_host_gets_no_credentials(
    fake_registry: FakeRegistry, other_registry: FakeRegistry, client: RegistryClient, reference: Reference
) -> None:
    place = f"{other_registry.url}/v2/x/blobs/uploads/0"
    other_registry._uploads["0"] = b""
    fake_registry.on("POST", "/v2/x/blobs/uploads/", Reply(202, {"Location": place}))
    client.upload_blob(reference, [b"data"], known=descriptor(b"data"))
    assert other_registry.blobs[Digest.of(b"data")] == b"data"
    assert all("authorization" not in asked.headers for asked in other_registry.asked)


@pytest.mark.parametrize("place", ["", "file:///x", "http://169.254.169.254/x"])
def test_a_place_to_upload_that_is_out_of_bounds_is_refused(
    fake_registry: FakeRegistry, client: RegistryClient, reference: Reference, place: str
) -> None:
    headers = {"Location": place} if place else {}
    fake_registry.on("POST", "/v2/x/blobs/uploads/", Reply(202, headers))
    with pytest.raises(Exception, match=r"refused|did not say"):
        client.upload_blob(reference, [b"data"])


def test_a_mount_that_is_not_possible_leaves_no_session(
    fake_registry: FakeRegistry, client: RegistryClient, reference: Reference
) -> None:
    assert client.mount_blob(reference._replace(path="y"), descriptor().digest, "x")
    assert not client.mount_blob(reference._replace(path="y"), Digest.of(b"absent"), "x")
    assert fake_registry.asked[-1].method == "DELETE"
    assert client.blob_exists(reference._replace(path="y"), descriptor().digest) == len(_DATA)
    assert client.blob_exists(reference, Digest.of(b"absent")) is None


def test_a_registry_that_stored_another_manifest_is_caught(
    fake_registry: FakeRegistry, client: RegistryClient, reference: Reference
) -> None:
    lie = Reply(201, {"Docker-Content-Digest": Digest.of(b"another")})
    fake_registry.on("PUT", "/v2/x/manifests/", lie)
    with pytest.raises(DigestMismatch):
        client.put_manifest(reference, b"{}", "application/json")


def test_a_download_survives_a_storm_at_its_beginning(
    fake_registry: FakeRegistry, client: RegistryClient, reference: Reference
) -> None:
    fake_registry.on("GET", "/v2/x/blobs/", times(3, error(503, "UNAVAILABLE")))
    assert b"".join(client.blob(reference, descriptor())) == _DATA
