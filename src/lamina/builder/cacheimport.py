"""``--cache-from``: steps that other machines did, from caches that the user trusts.

Nothing here is believed unless the user named it, and then only what fits: a step must stand on the very layers that
the build stands on, leave the layers that it says, and say the same in the history. Bytes are verified when they come.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from lamina.builder import borrowing, cachedocument
from lamina.builder.cache import Pick, Step
from lamina.builder.cachedocument import CacheDocument
from lamina.builder.cacheoptions import CacheImport
from lamina.builder.distant import Blob
from lamina.builder.stage import StageState
from lamina.digest import Digest, DigestMismatch, hasher
from lamina.errors import Corrupt, NotFound
from lamina.image.contract import ImageStore
from lamina.oci import image as configurations
from lamina.oci import mediatype
from lamina.oci.descriptor import Descriptor
from lamina.oci.document import CONFIG_LIMIT, MANIFEST_LIMIT
from lamina.oci.image import ImageConfig
from lamina.oci.manifest import Index
from lamina.oci.manifest import parse as parse_image_manifest
from lamina.oci.platform import Platform
from lamina.reference import Reference, parse_tagged
from lamina.typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from lamina.registry.client import RegistryClient

_CHUNK = 1 << 20
_REF_NAME = "org.opencontainers.image.ref.name"


class NoSuchCache(NotFound):
    """What ``--cache-from`` names is not there."""


class Lent(NamedTuple):
    """A step, and where its layer is; ``None`` when it makes none, or when it must be here."""

    step: Step
    blob: Blob | None = None


class Lender(Protocol):
    """One cache."""

    def lend(self, state: StageState, key: str, created_by: str) -> Lent | None:
        """What it knows of the step ``key`` after ``state``, if that fits."""

    def pick(self, key: str) -> Pick | None:
        """What it knows of sources of a ``COPY --from``."""


class ImageLender:
    """An image: every entry of its history is a step.

    :param blobs: where its layers are, bottom first; ``None`` when they are here.
    """

    def __init__(self, config: ImageConfig, blobs: list[Blob] | None = None) -> None:
        self._config = config
        self._blobs = blobs

    def lend(self, state: StageState, key: str, created_by: str) -> Lent | None:
        step = borrowing.borrow(self._config, state, key, created_by)
        if step is None:
            return None
        if step.diff_id is None or self._blobs is None:
            return Lent(step)
        return Lent(step, self._blobs[len(state.diff_ids)])

    def pick(self, key: str) -> Pick | None:
        return None


class DocumentLender:
    """A cache as :mod:`lamina.builder.cachedocument` describes it."""

    def __init__(self, document: CacheDocument, blob: Callable[[Descriptor], Blob]) -> None:
        self._document = document
        self._blob = blob

    def lend(self, state: StageState, key: str, created_by: str) -> Lent | None:
        step = self._document.steps.get(key)
        if step is None or not _fits(step, state, created_by):
            return None
        if step.diff_id is None:
            return Lent(step)
        descriptor = self._document.layers.get(step.diff_id)
        return Lent(step, self._blob(descriptor) if descriptor is not None else None)

    def pick(self, key: str) -> Pick | None:
        return self._document.picks.get(key)


def _fits(step: Step, state: StageState, created_by: str) -> bool:
    empty = bool(step.history.get("empty_layer"))
    return step.fits(state.chain) and empty == (step.diff_id is None) and step.history.get("created_by") == created_by


def open_lender(
    wanted: CacheImport, images: ImageStore, client: Callable[[], RegistryClient] | None, platform: Platform
) -> Lender:
    """The cache that ``wanted`` names.

    :param client: ``None`` when there is no way to a registry.
    :raises NoSuchCache: it is not there. Other errors are the registry's and those of what it holds.
    """
    if wanted.kind == "local":
        return _in_directory(wanted)
    if wanted.kind == "image":
        try:
            return ImageLender(images.resolve(wanted.name).config)
        except NotFound:
            pass  # then in its registry
    if client is None:
        raise NoSuchCache(f"{wanted.name}: no such image here")
    return _in_registry(client(), parse_tagged(wanted.name), platform)


# A registry


def _in_registry(client: RegistryClient, reference: Reference, platform: Platform) -> Lender:
    fetched = client.manifest(reference)
    what = f"cache {reference.familiar}"

    def blob(descriptor: Descriptor) -> Blob:
        return Blob(descriptor, lambda: client.blob(reference, descriptor), reference)

    if cachedocument.is_cache(fetched.raw, what):
        config, layers = cachedocument.parse_manifest(fetched.raw, what)
        raw = _small(client, reference, config)
        return DocumentLender(cachedocument.parse(raw, layers, what), blob)
    manifest = parse_image_manifest(fetched.raw, fetched.media_type, what)
    if isinstance(manifest, Index):
        entry = manifest.choose(platform)
        if entry is None:
            raise NoSuchCache(f"{what}: nothing for {platform}")
        fetched = client.manifest(reference._replace(tag=None, digest=entry.digest))
        manifest = parse_image_manifest(fetched.raw, fetched.media_type, what)
        if isinstance(manifest, Index):
            raise NoSuchCache(f"{what}: an index in an index")
    image = configurations.parse(_small(client, reference, manifest.config), what)
    if len(image.diff_ids) != len(manifest.layers):
        raise Corrupt(f"{what}: {len(image.diff_ids)} layers in the configuration, {len(manifest.layers)} outside")
    if any(mediatype.is_foreign(layer.media_type) for layer in manifest.layers):
        raise NoSuchCache(f"{what}: it has foreign layers")
    return ImageLender(image, [blob(layer) for layer in manifest.layers])


def _small(client: RegistryClient, reference: Reference, descriptor: Descriptor) -> bytes:
    if descriptor.size > CONFIG_LIMIT:
        raise Corrupt(f"blob {descriptor.digest}: {descriptor.size} bytes are more than the limit of {CONFIG_LIMIT}")
    with client.blob(reference, descriptor) as reader:
        return b"".join(reader)


# A directory


def _in_directory(wanted: CacheImport) -> Lender:
    """An OCI layout."""
    what = f"cache {wanted.name}"
    digest = wanted.digest or tagged(wanted.name, wanted.tag)
    if digest is None:
        raise NoSuchCache(f"{what}: it has no cache with the tag {wanted.tag}")
    raw = b"".join(_verified(wanted.name, Descriptor("", digest, -1), MANIFEST_LIMIT))
    config, layers = cachedocument.parse_manifest(raw, what)
    document = cachedocument.parse(b"".join(_verified(wanted.name, config, CONFIG_LIMIT)), layers, what)
    return DocumentLender(document, lambda blob: Blob(blob, lambda: _verified(wanted.name, blob)))


def tagged(directory: str, tag: str) -> Digest | None:
    """The manifest that a layout's index has under a tag; ``None`` for none. Raises ``Corrupt``."""
    try:
        with open(f"{directory}/index.json", "rb") as file:
            raw = file.read(MANIFEST_LIMIT + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    index = parse_image_manifest(raw, mediatype.OCI_INDEX, f"{directory}/index.json")
    if isinstance(index, Index):
        for entry in index.manifests:
            if dict(entry.annotations).get(_REF_NAME) == tag:
                return entry.digest
    return None


def blob_path(directory: str, digest: Digest) -> str:
    """Where a layout keeps a blob."""
    return os.path.join(directory, "blobs", digest.algorithm, digest.hex)


def _verified(directory: str, descriptor: Descriptor, limit: int | None = None) -> Iterator[bytes]:
    """A blob's bytes. Raises ``DigestMismatch`` after the last, :class:`NoSuchCache`, ``Corrupt``."""
    digest = descriptor.digest
    try:
        opened = os.open(blob_path(directory, digest), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise NoSuchCache(f"cache {directory}: blob {digest}: {os.strerror(error.errno or 0)}") from error
    with open(opened, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size != descriptor.size >= 0 or (limit is not None and size > limit):
            raise Corrupt(f"cache {directory}: blob {digest} has {size} bytes")
        seen = hasher(digest.algorithm)
        while chunk := file.read(_CHUNK):
            seen.update(chunk)
            yield chunk
    actual = Digest.from_hash(seen, digest.algorithm)
    if actual != digest:
        raise DigestMismatch(f"blob {digest}", digest, actual)
