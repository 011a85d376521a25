"""From a reference to the one image that is meant: through indexes, by platform, checked against each other."""

from __future__ import annotations

import base64
import binascii

from lamina.digest import Digest, DigestMismatch
from lamina.errors import Corrupt, NotFound, Unsupported
from lamina.oci import image as images
from lamina.oci import manifest as manifests
from lamina.oci import mediatype
from lamina.oci.descriptor import Descriptor
from lamina.oci.document import CONFIG_LIMIT, InvalidDocument
from lamina.oci.image import ImageConfig
from lamina.oci.manifest import Index, Manifest
from lamina.oci.platform import Platform
from lamina.reference import Reference
from lamina.registry.client import FetchedManifest, RegistryClient
from lamina.registry.download import read_whole
from lamina.typing import NamedTuple

#: An index in an index is allowed by the specification; more levels than this is somebody's game.
_DEPTH_LIMIT = 4


class NoMatchingManifest(NotFound):
    """An index has nothing for the platform."""

    def __init__(self, wanted: Platform) -> None:
        super().__init__(f"no matching manifest for {wanted} in the manifest list entries")


class LayersMismatch(Corrupt):
    """A manifest and its configuration list different numbers of layers."""

    def __init__(self) -> None:
        super().__init__("layers from manifest don't match image configuration")


class Resolved(NamedTuple):
    """One image that a registry offers.

    :ivar digest: what the reference's tag points at there: the index's digest when there is one.
    """

    reference: Reference
    digest: Digest
    manifest: Manifest


def parse(fetched: FetchedManifest, reference: Reference) -> Manifest | Index:
    """The document that came for ``reference``."""
    return manifests.parse(fetched.raw, fetched.media_type, f"manifest of {reference.familiar}")


def resolve(client: RegistryClient, reference: Reference, fetched: FetchedManifest, wanted: Platform) -> Resolved:
    """Follow indexes from ``fetched`` down to the manifest for ``wanted``.

    :raises NoMatchingManifest: an index has none.
    :raises Corrupt: a document is malformed or not what its descriptor says.
    """
    document = parse(fetched, reference)
    for _ in range(_DEPTH_LIMIT):
        if isinstance(document, Manifest):
            _check_layers(document, reference)
            return Resolved(reference, fetched.digest, document)
        entry = document.choose(wanted)
        if entry is None:
            raise NoMatchingManifest(wanted)
        document = _follow(client, reference, entry)
    raise InvalidDocument(f"manifest of {reference.familiar}: more than {_DEPTH_LIMIT} indexes inside each other")


def _follow(client: RegistryClient, reference: Reference, entry: Descriptor) -> Manifest | Index:
    child = reference._replace(tag=None, digest=entry.digest)
    fetched = client.manifest(child)
    if len(fetched.raw) != entry.size:
        raise InvalidDocument(
            f"manifest of {child.familiar}: {len(fetched.raw)} bytes, the index announces {entry.size}"
        )
    media_type = fetched.media_type.partition(";")[0].strip().lower()
    known = mediatype.MANIFESTS | mediatype.INDEXES
    if entry.media_type in known and media_type in known and entry.media_type != media_type:
        raise InvalidDocument(
            f"manifest of {child.familiar}: it is {media_type!r}, the index says {entry.media_type!r}"
        )
    return manifests.parse(fetched.raw, entry.media_type or fetched.media_type, f"manifest of {child.familiar}")


def _check_layers(manifest: Manifest, reference: Reference) -> None:
    for layer in manifest.layers:
        if layer.media_type not in mediatype.LAYERS and not mediatype.is_foreign(layer.media_type):
            raise Unsupported(
                f"manifest of {reference.familiar}: unsupported layer media type {layer.media_type!r}, "
                "it is not a container image that can be run"
            )


def fetch_config(client: RegistryClient, resolved: Resolved) -> ImageConfig:
    """The image's configuration, checked against its manifest.

    :raises LayersMismatch: they disagree about the number of layers.
    :raises Unsupported: it is for another operating system.
    """
    descriptor = resolved.manifest.config
    what = f"configuration of {resolved.reference.familiar}"
    if descriptor.size > CONFIG_LIMIT:
        raise InvalidDocument(f"{what}: {descriptor.size} bytes are more than the limit of {CONFIG_LIMIT}")
    raw = _embedded(descriptor, what)
    if raw is None:
        raw = read_whole(client.blob(resolved.reference, descriptor))
    config = images.parse(raw, what)
    if len(config.diff_ids) != len(resolved.manifest.layers):
        raise LayersMismatch()
    if config.platform.os != "linux":
        raise Unsupported(
            f'image operating system "{config.platform.os}" cannot be used on this platform: '
            "operating system is not supported"
        )
    return config


def _embedded(descriptor: Descriptor, what: str) -> bytes | None:
    """The content that a descriptor carries itself (``data``), ``None`` when it has none."""
    if descriptor.data is None:
        return None
    try:
        raw = base64.b64decode(descriptor.data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidDocument(f"{what}: 'data' is not base64: {error}") from error
    actual = Digest.of(raw)
    if len(raw) != descriptor.size or (descriptor.digest.algorithm == "sha256" and actual != descriptor.digest):
        raise DigestMismatch(f"{what}: 'data'", descriptor.digest, actual)
    return raw if descriptor.digest.algorithm == "sha256" else None
