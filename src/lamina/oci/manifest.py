"""Manifests and indexes, OCI and Docker schema 2 (image-spec ``manifest.md``, ``image-index.md``)."""

from __future__ import annotations

from lamina import json
from lamina.digest import Digest
from lamina.errors import Unsupported
from lamina.oci import descriptor as descriptors
from lamina.oci import mediatype
from lamina.oci.descriptor import Descriptor
from lamina.oci.document import MANIFEST_LIMIT, InvalidDocument, load, member
from lamina.oci.platform import Platform, matches
from lamina.typing import Any, NamedTuple

#: More layers than any file system stacks (overlayfs takes 500) need no further look.
LAYER_LIMIT = 4096
#: More entries than this in an index is refused before a platform is looked for.
INDEX_LIMIT = 4096


class Manifest(NamedTuple):
    """One image: its configuration and its layers, bottom first. ``raw`` is what the digest covers."""

    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    raw: bytes

    @property
    def digest(self) -> Digest:
        return Digest.of(self.raw)


class Index(NamedTuple):
    """Several manifests, one for each platform."""

    media_type: str
    manifests: tuple[Descriptor, ...]
    raw: bytes

    @property
    def digest(self) -> Digest:
        return Digest.of(self.raw)

    def choose(self, wanted: Platform) -> Descriptor | None:
        """The entry that serves ``wanted`` best, the first of equals; ``None`` when none does.

        An entry without a platform serves only when the index has no other (umoci and buildah write such indexes).
        """
        ranked = [
            (rank, number, entry)
            for number, entry in enumerate(self.manifests)
            if entry.platform is not None and (rank := matches(wanted, entry.platform)) is not None
        ]
        if ranked:
            return min(ranked)[2]
        bare = [entry for entry in self.manifests if entry.platform is None]
        return bare[0] if len(bare) == 1 and len(self.manifests) == 1 else None


def parse(raw: bytes, media_type: str, what: str) -> Manifest | Index:
    """Parse a manifest or an index.

    :param media_type: the ``Content-Type`` it came with, or what its descriptor said; ``""`` when nobody said.
    :raises InvalidDocument: malformed; both an index and a manifest at once (CVE-2021-41190); or ``mediaType``
        inside contradicts the one outside.
    :raises Unsupported: Docker schema 1, or an artifact that is no image.
    """
    document = load(raw, what, MANIFEST_LIMIT)
    inner = member(document, "mediaType", str, what, "")
    outer = media_type.partition(";")[0].strip().lower()
    if outer in (mediatype.DOCKER_SCHEMA1, mediatype.DOCKER_SCHEMA1_SIGNED) or document.get("schemaVersion") == 1:
        raise Unsupported(
            f"{what}: Docker image format v1 and manifest version 2, schema 1 are no longer supported; "
            "ask the image's author to push it again with a current tool"
        )
    if document.get("schemaVersion") != 2:
        raise InvalidDocument(f"{what}: schemaVersion is {document.get('schemaVersion')!r}, expected 2")
    known = mediatype.MANIFESTS | mediatype.INDEXES
    if inner and outer in known and inner != outer:
        raise InvalidDocument(f"{what}: mediaType is {inner!r} inside and {outer!r} outside")
    has_manifests = "manifests" in document
    has_layers = "layers" in document or "config" in document
    if has_manifests and has_layers:
        raise InvalidDocument(f"{what}: it is a manifest and an index at the same time")
    kind = inner or (outer if outer in known else "")
    if not kind:
        kind = mediatype.OCI_INDEX if has_manifests else mediatype.OCI_MANIFEST
    if kind in mediatype.INDEXES:
        if not has_manifests:
            raise InvalidDocument(f"{what}: an index without manifests")
        return _parse_index(document, kind, raw, what)
    if kind in mediatype.MANIFESTS:
        if has_manifests:
            raise InvalidDocument(f"{what}: a manifest with a list of manifests")
        return _parse_manifest(document, kind, raw, what)
    raise Unsupported(f"{what}: unsupported manifest media type {kind!r}")


def _parse_index(document: dict[str, Any], kind: str, raw: bytes, what: str) -> Index:
    entries = member(document, "manifests", list, what, [])
    if len(entries) > INDEX_LIMIT:
        raise InvalidDocument(f"{what}: {len(entries)} manifests are more than the limit of {INDEX_LIMIT}")
    return Index(kind, tuple(descriptors.parse(entry, what) for entry in entries), raw)


def _parse_manifest(document: dict[str, Any], kind: str, raw: bytes, what: str) -> Manifest:
    layers = member(document, "layers", list, what, [])
    if len(layers) > LAYER_LIMIT:
        raise InvalidDocument(f"{what}: {len(layers)} layers are more than the limit of {LAYER_LIMIT}")
    config = descriptors.parse(document.get("config"), what)
    if config.media_type not in mediatype.CONFIGS:
        raise Unsupported(f"{what}: it holds {config.media_type or 'something'!r}, which is not a container image")
    return Manifest(kind, config, tuple(descriptors.parse(layer, what) for layer in layers), raw)


def build(config: Descriptor, layers: list[Descriptor], *, media_type: str = mediatype.DOCKER_MANIFEST) -> Manifest:
    """A manifest as Docker writes it: three-space indentation for its own type, compact for OCI's."""
    docker = media_type == mediatype.DOCKER_MANIFEST
    to_json = _docker_descriptor if docker else Descriptor.to_json
    document = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": to_json(config),
        "layers": [to_json(layer) for layer in layers],
    }
    raw = json.dumps(document, indent=3) if docker else json.dumps(document, separators=(",", ":"))
    return Manifest(media_type, config, tuple(layers), raw.encode())


def _docker_descriptor(descriptor: Descriptor) -> dict[str, Any]:
    """Members in the order of Docker's own descriptor, which has ``size`` before ``digest``."""
    document = descriptor.to_json()
    return {"mediaType": document.pop("mediaType"), "size": document.pop("size"), **document}
