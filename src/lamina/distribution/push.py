"""``push``: an image goes to a registry.

The manifest goes last, so that a tag never points at something incomplete. An image that was pulled keeps the manifest
it came by wherever all the blobs that it names can be brought into the repository unchanged.
"""

from __future__ import annotations

from collections.abc import Iterable

from lamina.digest import DiffID, Digest, ImageID
from lamina.distribution import originals
from lamina.distribution.metadata import hmac_key
from lamina.distribution.parallel import Workers
from lamina.distribution.stores import Stores
from lamina.distribution.uploads import LayerUpload, Placed
from lamina.errors import InvalidArgument, NotFound
from lamina.functools import partial
from lamina.image import telling
from lamina.image.contract import Image
from lamina.layer.contract import Layer
from lamina.oci import manifest as manifests
from lamina.oci import mediatype
from lamina.oci.descriptor import Descriptor
from lamina.oci.manifest import Manifest
from lamina.progress import Event, Report, ignore
from lamina.reference import Reference
from lamina.registry.client import RegistryClient
from lamina.registry.errors import RegistryError
from lamina.typing import NamedTuple

_TO_OCI = {
    mediatype.DOCKER_LAYER: mediatype.OCI_LAYER,
    mediatype.DOCKER_LAYER_GZIP: mediatype.OCI_LAYER_GZIP,
    mediatype.DOCKER_LAYER_ZSTD: mediatype.OCI_LAYER_ZSTD,
}
_TO_DOCKER = {oci: docker for docker, oci in _TO_OCI.items()}
#: What a registry answers to a manifest whose type it does not know.
_NOT_UNDERSTOOD = frozenset({400, 405, 406, 415, 422})


class PushResult(NamedTuple):
    """One tag that was pushed.

    :ivar digest: of the manifest.
    :ivar size: of the manifest, in bytes.
    :ivar media_type: of the manifest.
    """

    reference: Reference
    digest: Digest
    size: int
    media_type: str = mediatype.DOCKER_MANIFEST


class NothingToPush(NotFound):
    """No image has the name."""


def push(
    reference: Reference,
    stores: Stores,
    client: RegistryClient,
    *,
    all_tags: bool = False,
    report: Report = ignore,
) -> list[PushResult]:
    """Send an image to the registry that its name says.

    :param reference: with a tag (``latest`` by default), or a repository with ``all_tags``.
    :returns: one result, or one for each tag with ``all_tags``.
    :raises NothingToPush: no such tag here.
    """
    if reference.digest is not None:
        raise InvalidArgument("cannot push a digest reference")
    report(Event(f"The push refers to repository [{reference.name}]"))
    tagged = _tagged(reference, stores, all_tags=all_tags)
    results = [_push_one(name, image_id, stores, client, report) for name, image_id in tagged]
    telling.by_name(stores.root, stores.images, reference if all_tags else reference.tagged(), "push")
    return results


def _tagged(reference: Reference, stores: Stores, *, all_tags: bool) -> list[tuple[Reference, ImageID]]:
    same = {
        name: image_id
        for name, image_id in stores.images.references.all().items()
        if name.name == reference.name and name.tag is not None
    }
    if not same:
        raise NothingToPush(f"An image does not exist locally with the tag: {reference.familiar_name}")
    if all_tags:
        return sorted(same.items(), key=lambda item: item[0].tag or "")
    wanted = reference.tagged()
    if wanted not in same:
        raise NothingToPush(f"tag does not exist: {wanted.familiar}")
    return [(wanted, same[wanted])]


def _push_one(
    reference: Reference, image_id: ImageID, stores: Stores, client: RegistryClient, report: Report
) -> PushResult:
    image = stores.images.get(image_id)
    known = [
        manifest
        for manifest in originals.manifests_of(stores.root, image_id)
        if len(manifest.layers) == len(image.config.diff_ids)
    ]
    stack = stores.layers.stack(image.config.chain_id)
    for layer in reversed(stack):
        report(Event("Preparing", layer.diff_id.hex[:12]))
    upload = LayerUpload(stores, client, reference, report, hmac_key=hmac_key(client.credential(reference)))
    placed = _place_all(upload, stack, known, client.settings.concurrent_uploads)
    manifest = _manifest(image, [placed[layer.diff_id] for layer in stack], known)
    upload.send_config(manifest.config, image.config.raw)
    manifest, digest = _put(reference, manifest, client)
    stores.images.references.add(reference._replace(tag=None, digest=digest), image_id)
    size = len(manifest.raw)
    report(Event(f"{reference.tag}: digest: {digest} size: {size}"))
    report(Event("", aux={"Tag": reference.tag, "Digest": str(digest), "Size": size}))
    return PushResult(reference, digest, size, manifest.media_type)


def _put(reference: Reference, manifest: Manifest, client: RegistryClient) -> tuple[Manifest, Digest]:
    """Store the manifest, in Docker's form where the registry knows no other; what was stored, and its digest."""
    try:
        return manifest, client.put_manifest(reference, manifest.raw, manifest.media_type)
    except RegistryError as error:
        if manifest.media_type != mediatype.OCI_MANIFEST or error.status not in _NOT_UNDERSTOOD:
            raise
        other = _built(manifest.config, manifest.layers, oci=False)
        try:
            return other, client.put_manifest(reference, other.raw, other.media_type)
        except RegistryError:
            raise error from None


def _place_all(
    upload: LayerUpload, stack: list[Layer], known: list[Manifest], concurrency: int
) -> dict[DiffID, Descriptor]:
    """Bring every layer into the repository, several at once, equal ones once."""
    wanted: dict[DiffID, list[Descriptor]] = {layer.diff_id: [] for layer in stack}
    for manifest in known:
        for layer, descriptor in zip(stack, manifest.layers, strict=True):
            wanted[layer.diff_id].append(descriptor)
    unique = {layer.diff_id: layer for layer in stack}.values()
    placed: list[Placed] = []
    with Workers(concurrency, upload.cancel) as workers:
        for layer in unique:
            workers.start(partial(_place, upload, layer, wanted[layer.diff_id], placed))
        workers.finish()
    return {one.layer.diff_id: one.descriptor for one in placed}


def _place(upload: LayerUpload, layer: Layer, wanted: list[Descriptor], placed: list[Placed]) -> None:
    placed.append(upload.place(layer, wanted))


def _manifest(image: Image, layers: list[Descriptor], known: list[Manifest]) -> Manifest:
    """The manifest that names ``layers``: one that the image came by, else a new one of the same family."""
    digests = [layer.digest for layer in layers]
    for manifest in known:
        if [layer.digest for layer in manifest.layers] == digests:
            return manifest
    oci = any(manifest.media_type == mediatype.OCI_MANIFEST for manifest in known)
    return _built(Descriptor("", Digest(image.id), len(image.config.raw)), layers, oci=oci)


def _built(config: Descriptor, layers: Iterable[Descriptor], *, oci: bool) -> Manifest:
    """A manifest with the types of one family."""
    names = _TO_OCI if oci else _TO_DOCKER
    return manifests.build(
        Descriptor(mediatype.OCI_CONFIG if oci else mediatype.DOCKER_CONFIG, config.digest, config.size),
        [Descriptor(names.get(layer.media_type, layer.media_type), layer.digest, layer.size) for layer in layers],
        media_type=mediatype.OCI_MANIFEST if oci else mediatype.DOCKER_MANIFEST,
    )
