"""A build cache on its way to other machines: one manifest of an OCI artifact and its blobs.

The manifest (image-spec ``manifest.md``, ``artifactType``) has the layers as images have them, gzip compressed, and as
its configuration one JSON document::

    {"version": 1,
     "steps": {KEY: {"chain": ChainID|null, "diff_id": DiffID|null, "history": {...}, "size": BYTES}},
     "picks": {KEY: {"digests": [TEXT], "facts": [...]}},
     "layers": {DiffID: blob digest}}

``steps`` are records of :mod:`lamina.builder.cache`; ``picks`` say what ``COPY --from`` takes out of layers, so that
they need not be fetched to find out. Keys are digests of everything that decides a result, so machines agree on them.
"""

from __future__ import annotations

from collections.abc import Mapping

from lamina import json
from lamina.builder.cache import Pick, Step
from lamina.characters import is_hex
from lamina.digest import DiffID, Digest, InvalidDigest
from lamina.errors import Unsupported
from lamina.oci import descriptor as descriptors
from lamina.oci import mediatype
from lamina.oci.descriptor import Descriptor
from lamina.oci.document import CONFIG_LIMIT, MANIFEST_LIMIT, InvalidDocument, load, member
from lamina.typing import Any, NamedTuple

ARTIFACT = "application/vnd.lamina.buildcache.v1"
CONFIG = "application/vnd.lamina.buildcache.config.v1+json"
#: Member of an image's configuration that makes it a cache (``type=inline``): keys by entry of the history.
INLINE = "lamina.buildcache.v1"
_VERSION = 1


class CacheDocument(NamedTuple):
    """What a cache knows. ``layers``: the blob of each layer, by DiffID."""

    steps: dict[str, Step]
    picks: dict[str, Pick]
    layers: dict[DiffID, Descriptor]


def encode(document: CacheDocument) -> tuple[bytes, bytes]:
    """The manifest and the configuration; the same bytes for the same content."""
    body = {
        "version": _VERSION,
        "steps": {key: step.to_json() for key, step in document.steps.items()},
        "picks": {key: pick.to_json() for key, pick in document.picks.items()},
        "layers": {str(diff_id): str(blob.digest) for diff_id, blob in document.layers.items()},
    }
    config = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
    blobs = {blob.digest: blob._replace(media_type=mediatype.OCI_LAYER_GZIP) for blob in document.layers.values()}
    manifest = {
        "schemaVersion": 2,
        "mediaType": mediatype.OCI_MANIFEST,
        "artifactType": ARTIFACT,
        "config": Descriptor(CONFIG, Digest.of(config), len(config)).to_json(),
        "layers": [blobs[digest].to_json() for digest in sorted(blobs)],
    }
    return json.dumps(manifest, separators=(",", ":")).encode(), config


def parse_manifest(raw: bytes, what: str) -> tuple[Descriptor, dict[Digest, Descriptor]]:
    """The configuration's descriptor, and those of the layers by digest.

    :raises InvalidDocument: malformed.
    :raises Unsupported: it is something else.
    """
    document = load(raw, what, MANIFEST_LIMIT)
    config = descriptors.parse(document.get("config"), what)
    if config.media_type != CONFIG:
        raise Unsupported(f"{what}: it holds {config.media_type or 'something'!r}, which is no build cache")
    blobs = [descriptors.parse(entry, what) for entry in member(document, "layers", list, what, [])]
    return config, {blob.digest: blob for blob in blobs}


def is_cache(raw: bytes, what: str) -> bool:
    """Whether a manifest is a build cache's."""
    config = load(raw, what, MANIFEST_LIMIT).get("config")
    return isinstance(config, dict) and config.get("mediaType") == CONFIG


def parse(raw: bytes, blobs: Mapping[Digest, Descriptor], what: str) -> CacheDocument:
    """The configuration. Raises :class:`InvalidDocument`."""
    document = load(raw, what, CONFIG_LIMIT)
    if document.get("version") != _VERSION:
        raise InvalidDocument(f"{what}: version {document.get('version')!r} is not known here, {_VERSION} is")
    try:
        steps = {key: Step.from_json(_key(key), value) for key, value in _members(document, "steps", what)}
        picks = {_key(key): Pick.from_json(value) for key, value in _members(document, "picks", what)}
        layers = {DiffID(key): blobs[Digest(value)] for key, value in _members(document, "layers", what)}
    except (KeyError, TypeError, ValueError, AttributeError, InvalidDigest) as error:
        raise InvalidDocument(f"{what}: {type(error).__name__}: {error}") from error
    return CacheDocument(steps, picks, layers)


def _members(document: dict[str, Any], name: str, what: str) -> list[tuple[str, Any]]:
    return list(member(document, name, dict, what, {}).items())


def _key(text: str) -> str:
    if not is_hex(text):
        raise ValueError(f"{text!r} is not a key")
    return text
