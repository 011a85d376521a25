"""The build cache as one manifest and its configuration."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lamina.builder import cachedocument
from lamina.builder.cache import Pick, Step
from lamina.builder.cachedocument import CacheDocument
from lamina.digest import ChainID, DiffID, Digest
from lamina.errors import Unsupported
from lamina.oci import mediatype
from lamina.oci.descriptor import Descriptor
from lamina.oci.document import InvalidDocument

_DIFF = DiffID(f"sha256:{'d' * 64}")
_CHAIN = ChainID(f"sha256:{'c' * 64}")
_BLOB = Descriptor(mediatype.OCI_LAYER_GZIP, Digest(f"sha256:{'b' * 64}"), 123)
_DOCUMENT = CacheDocument(
    {
        "1" * 64: Step("1" * 64, _CHAIN, _DIFF, {"created_by": "x"}, 5),
        "2" * 64: Step("2" * 64, None, None, {"created_by": "y", "empty_layer": True}),
    },
    {"3" * 64: Pick(("file:abc",), ("link", "a"))},
    {_DIFF: _BLOB},
)


def test_what_is_written_can_be_read() -> None:
    manifest, config = cachedocument.encode(_DOCUMENT)
    assert cachedocument.is_cache(manifest, "it")
    descriptor, blobs = cachedocument.parse_manifest(manifest, "it")
    assert descriptor == Descriptor(cachedocument.CONFIG, Digest.of(config), len(config))
    assert cachedocument.parse(config, blobs, "it") == _DOCUMENT


def test_the_same_content_gives_the_same_bytes() -> None:
    other = _DOCUMENT._replace(steps=dict(reversed(_DOCUMENT.steps.items())))
    assert cachedocument.encode(other) == cachedocument.encode(_DOCUMENT)


def test_an_image_is_no_cache() -> None:
    config = {"mediaType": mediatype.OCI_CONFIG, "digest": f"sha256:{'a' * 64}", "size": 1}
    raw = json.dumps({"schemaVersion": 2, "config": config, "layers": []}).encode()
    assert not cachedocument.is_cache(raw, "it")
    with pytest.raises(Unsupported, match="which is no build cache"):
        cachedocument.parse_manifest(raw, "it")


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"steps": []},
        {"steps": {"../../x": {"chain": None, "diff_id": None, "history": {}, "size": 0}}},
        {"steps": {"1" * 64: None}},
        {"steps": {"1" * 64: {"chain": "nothing", "diff_id": None, "history": {}, "size": 0}}},
        {"steps": {"1" * 64: {"chain": None, "diff_id": None, "history": 5, "size": 0}}},
        {"steps": {"1" * 64: {"chain": None, "diff_id": None, "history": {}, "size": "x"}}},
        {"picks": {"1" * 64: {"digests": None, "facts": []}}},
        {"layers": {str(_DIFF): f"sha256:{'0' * 64}"}},
        {"layers": {"x": str(_BLOB.digest)}},
    ],
)
def test_a_damaged_document_is_corrupt(change: dict[str, Any]) -> None:
    manifest, config = cachedocument.encode(_DOCUMENT)
    _, blobs = cachedocument.parse_manifest(manifest, "it")
    raw = json.dumps({**json.loads(config), **change}).encode()
    with pytest.raises(InvalidDocument, match="it:"):
        cachedocument.parse(raw, blobs, "it")
