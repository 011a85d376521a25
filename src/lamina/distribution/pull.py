"""``pull``: an image comes from a registry.

All or nothing: layers become visible together when the last of them is complete, then the image, then its names.
"""

from __future__ import annotations

from collections.abc import Iterator

from lamina.contextlib import contextmanager
from lamina.digest import Digest, ImageID
from lamina.distribution import originals
from lamina.distribution.downloads import Downloads, short
from lamina.distribution.metadata import BlobPlace, DistributionMetadata
from lamina.distribution.resolution import Resolved, fetch_config, resolve
from lamina.distribution.stores import Stores
from lamina.errors import NotFound, Unauthorized
from lamina.image import telling
from lamina.image.contract import Image
from lamina.layer.contract import Layer, StagedLayer
from lamina.oci.image import ImageConfig
from lamina.oci.platform import Platform, host, matches
from lamina.progress import Event, Report, ignore
from lamina.reference import Reference
from lamina.registry.client import RegistryClient
from lamina.registry.errors import AccessDenied, ManifestUnknown, MissingCredentials, NameUnknown, RegistryError
from lamina.typing import NamedTuple


class PullResult(NamedTuple):
    """What a pull brought.

    :ivar reference: what was asked for, with its tag.
    :ivar digest: what the registry has under that name: an index's digest when it is an index.
    :ivar updated: whether the name points at something else now than before.
    """

    reference: Reference
    image_id: ImageID
    digest: Digest
    updated: bool


class PullRefused(NotFound):
    """The registry does not have it, or does not show it to this user."""


class NoCredentials(Unauthorized):
    """The registry wants a password and none is known for it; the text says what was asked for."""


class _Pull(NamedTuple):
    stores: Stores
    client: RegistryClient
    platform: Platform | None
    report: Report


def pull(
    reference: Reference,
    stores: Stores,
    client: RegistryClient,
    *,
    platform: Platform | None = None,
    all_tags: bool = False,
    report: Report = ignore,
) -> list[PullResult]:
    """Bring an image from its registry and name it.

    :param reference: without tag and digest: ``latest``, or every tag with ``all_tags``.
    :param platform: what to choose from an index; this host's by default.
    :returns: one result, or one for each tag with ``all_tags``.
    :raises PullRefused: with Docker's text.
    """
    stores.root.require_writable()
    task = _Pull(stores, client, platform, report)
    with _translation(reference.tagged()):
        if not all_tags:
            results = [_pull_one(task, reference.tagged())]
            pulled = reference._replace(tag=None) if reference.digest else reference.tagged()
            _report_status(task, pulled.familiar, results)
            telling.by_name(stores.root, stores.images, reference.tagged(), "pull")
            return results
        tags = client.tags(reference)
        results = [_pull_one(task, reference._replace(tag=tag, digest=None)) for tag in tags]
    if not results:
        raise PullRefused(f"repository {reference.familiar_name} not found: it has no tags")
    _report_status(task, reference.familiar_name, results)
    telling.by_name(stores.root, stores.images, reference, "pull")
    return results


class Offer:
    """An image that a registry has, known by its configuration. Its layers and names come when somebody wants them.

    :ivar image: as it will be in the store.
    """

    def __init__(self, task: _Pull, resolved: Resolved, config: ImageConfig) -> None:
        self._task = task
        self._resolved = resolved
        self.image = Image(ImageID(resolved.manifest.config.digest), config)

    def bring(self) -> Image:
        """Do the rest of :func:`pull`, raising the same; idempotent."""
        with _translation(self._resolved.reference):
            return (_known(self._task, self._resolved) or _fetch(self._task, self._resolved, self.image.config))[0]


def offer(reference: Reference, stores: Stores, client: RegistryClient, *, platform: Platform | None = None) -> Offer:
    """What :func:`pull` would bring. Raises the same."""
    stores.root.require_writable()
    task = _Pull(stores, client, platform, ignore)
    with _translation(reference.tagged()):
        resolved = _resolved(task, reference.tagged())
        return Offer(task, resolved, fetch_config(client, resolved))


@contextmanager
def _translation(reference: Reference) -> Iterator[None]:
    """The registry's errors in Docker's words."""
    try:
        yield
    except RegistryError as error:
        raise _translated(error, reference) from error
    except MissingCredentials as error:
        # Docker asks whether there is a manifest before it asks for it.
        what = error.what.replace("Get", "Head", 1) if "/manifests/" in error.what else error.what
        raise NoCredentials(f"{what}: {error}") from error


def _translated(error: RegistryError, reference: Reference) -> Exception:
    if isinstance(error, AccessDenied):
        return PullRefused(
            f"pull access denied for {reference.familiar_name}, repository does not exist or may require "
            f"'docker login': {error}"
        )
    if isinstance(error, ManifestUnknown):
        return PullRefused(f"manifest for {reference.familiar} not found: {error}")
    if isinstance(error, NameUnknown):
        return PullRefused(f"repository {reference.familiar_name} not found: {error}")
    return error


def _pull_one(task: _Pull, reference: Reference) -> PullResult:
    resolved = _resolved(task, reference)
    image, updated = _known(task, resolved) or _fetch(task, resolved, fetch_config(task.client, resolved))
    task.report(Event(f"Digest: {resolved.digest}"))
    return PullResult(reference, image.id, resolved.digest, updated)


def _resolved(task: _Pull, reference: Reference) -> Resolved:
    fetched = task.client.manifest(reference)
    what = f"{reference.name}@{reference.digest}" if reference.digest else str(reference.tag)
    task.report(Event(f"Pulling from {reference.path}", what))
    return resolve(task.client, reference, fetched, task.platform or host())


def _known(task: _Pull, resolved: Resolved) -> tuple[Image, bool] | None:
    """The image with its new names when it is here already."""
    with task.stores.images.lock():
        try:
            image = task.stores.images.get(ImageID(resolved.manifest.config.digest))
        except NotFound:
            return None
        return image, _finish(task, resolved, image)


def _fetch(task: _Pull, resolved: Resolved, config: ImageConfig) -> tuple[Image, bool]:
    """Bring the layers that are not there, then add the image and its names."""
    with task.stores.layers.begin() as transaction:
        keep_in = task.stores.root if task.client.settings.keep_blobs else None
        with Downloads(task.client, resolved.reference, task.report, keep_in=keep_in) as downloads:
            fetched: list[int] = []
            parent: Layer | StagedLayer | None = None
            for number, descriptor in enumerate(resolved.manifest.layers):
                parent = layer = transaction.claim(config.diff_ids[number], parent)
                if isinstance(layer, Layer):
                    task.report(Event("Already exists", short(descriptor.digest)))
                    continue
                task.report(Event("Pulling fs layer", short(descriptor.digest)))
                downloads.start(layer, descriptor)
                fetched.append(number)
            downloads.finish()
        transaction.commit()
        _remember(task, resolved, config, fetched)
        with task.stores.images.lock():  # nobody may remove the image before it has its names
            image = task.stores.images.create(config.raw)
            updated = _finish(task, resolved, image)
    originals.prune(task.stores)
    return image, updated


def _remember(task: _Pull, resolved: Resolved, config: ImageConfig, fetched: list[int]) -> None:
    """Note which blob is which layer, for those that were verified now."""
    metadata = DistributionMetadata(task.stores.root)
    for number in fetched:
        digest = resolved.manifest.layers[number].digest
        metadata.add(config.diff_ids[number], BlobPlace(digest, resolved.reference.name))


def _finish(task: _Pull, resolved: Resolved, image: Image) -> bool:
    """Keep the manifest and set the names; whether the one that was asked for points elsewhere now."""
    reference = resolved.reference
    originals.keep_manifest(task.stores.root, image.id, resolved.manifest)
    references = task.stores.images.references
    asked = reference._replace(tag=None) if reference.digest else reference
    try:
        updated = references.get(asked) != image.id
    except NotFound:
        updated = True
    names = [Reference(reference.domain, reference.path, None, resolved.digest)]
    references.add_all(names if asked.digest else [*names, asked], image.id)
    return updated


def _report_status(task: _Pull, name: str, results: list[PullResult]) -> None:
    what = "Downloaded newer image for" if any(result.updated for result in results) else "Image is up to date for"
    task.report(Event(f"Status: {what} {name}"))
    if task.platform is None:
        return
    result = results[-1]
    actual = task.stores.images.get(result.image_id).config.platform
    if matches(task.platform, actual) is None:
        task.report(
            Event(
                f"WARNING: image with reference {result.reference.familiar_name} was found but does not match the "
                f"specified platform: wanted {task.platform}, actual: {actual}"
            )
        )
