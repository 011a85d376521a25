"""``--cache-to``: what a build did or found, for other machines.

Layers go as they would go with an image, so a registry that has the image has most of its cache already. Those that
never came here are copied from cache to cache.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from lamina import atomicfile, json
from lamina.builder import cachedocument
from lamina.builder.cache import Pick, Step
from lamina.builder.cachedocument import CacheDocument
from lamina.builder.cacheimport import blob_path, tagged
from lamina.builder.cacheoptions import CacheExport
from lamina.builder.distant import AnyLayer, Blob, Distant
from lamina.builder.progress import Steps
from lamina.builder.stage import Done, StageState
from lamina.digest import DiffID, Digest, hasher
from lamina.distribution.stores import Stores
from lamina.errors import Conflict, LaminaError
from lamina.filelock import FileLock
from lamina.layer.contract import Layer
from lamina.oci import mediatype
from lamina.oci.descriptor import Descriptor
from lamina.reference import parse_tagged
from lamina.tarball.gzipwriter import compress
from lamina.typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from lamina.reference import Reference
    from lamina.registry.client import RegistryClient

_REF_NAME = "org.opencontainers.image.ref.name"
_MODE = 0o644


class LayerGone(Conflict):
    """A layer that a step made does not exist any more."""


class Result(NamedTuple):
    """What a build leaves.

    :ivar target: the stage that became the image.
    :ivar stages: all that were built.
    :ivar picks: what ``COPY --from`` selected.
    """

    target: StageState
    stages: list[StageState]
    picks: dict[str, Pick]


class _Destination(Protocol):
    """Where a cache goes."""

    def layer(self, layer: Layer) -> Descriptor:
        """Bring a layer there."""

    def blob(self, blob: Blob) -> Descriptor:
        """Bring one there that is in another cache."""

    def finish(self, manifest: bytes, config: bytes) -> None:
        """Make it a cache."""


def export(
    wanted: Iterable[CacheExport],
    result: Result,
    stores: Stores,
    client: Callable[[], RegistryClient] | None,
    steps: Steps,
) -> None:
    """Write caches, after the layers have been published.

    Raises what goes wrong, except where the user wants a warning.
    """
    for one in wanted:
        if one.kind == "inline":
            continue
        try:
            with steps.step(f"exporting cache to {one.name}"):
                destination = _open(one, stores, client)
                _export(_trail(result, all=one.all), result.picks, stores, destination)
        except (LaminaError, OSError) as error:
            if not one.forgiving:
                raise
            steps.warn(f"[Warning] exporting cache to {one.name}: {error}")


def _trail(result: Result, *, all: bool) -> list[Done]:
    stages = result.stages if all else [result.target]
    found = {done.step.key: done for stage in stages for done in stage.trail}
    return list(found.values())


def _open(wanted: CacheExport, stores: Stores, client: Callable[[], RegistryClient] | None) -> _Destination:
    if wanted.kind == "local":
        return _Directory(wanted.name, wanted.tag, stores)
    if client is None:
        raise LayerGone("this build knows no registry")
    return _Registry(parse_tagged(wanted.name), stores, client())


def _export(trail: list[Done], picks: dict[str, Pick], stores: Stores, destination: _Destination) -> None:
    steps: dict[str, Step] = {}
    layers: dict[DiffID, Descriptor] = {}
    for step, layer, _ in trail:
        steps[step.key] = step._replace(chain=layer.chain_id if layer is not None else None)
        if step.diff_id is not None and step.diff_id not in layers:
            layers[step.diff_id] = _brought(layer, stores, destination)
    destination.finish(*cachedocument.encode(CacheDocument(steps, picks, layers)))


def _brought(layer: AnyLayer | None, stores: Stores, destination: _Destination) -> Descriptor:
    if isinstance(layer, Distant):
        return destination.blob(layer.blob)
    if layer is None or layer.chain_id is None:
        raise LayerGone("a step has lost its layer")
    return destination.layer(stores.layers.get(layer.chain_id))


class _Registry:
    """A tag of a repository."""

    def __init__(self, reference: Reference, stores: Stores, client: RegistryClient) -> None:
        from lamina.distribution.metadata import hmac_key
        from lamina.distribution.uploads import LayerUpload
        from lamina.progress import ignore

        self._reference = reference
        self._client = client
        key = hmac_key(client.credential(reference))
        self._upload = LayerUpload(stores, client, reference, ignore, hmac_key=key)

    def layer(self, layer: Layer) -> Descriptor:
        return self._upload.place(layer, []).descriptor

    def blob(self, blob: Blob) -> Descriptor:
        known, source = blob.descriptor, blob.reference
        if self._client.blob_exists(self._reference, known.digest) is not None:
            return known
        if source is not None and self._mounted(known.digest, source):
            return known
        self._client.upload_blob(self._reference, blob.chunks(), known=known)
        return known

    def _mounted(self, digest: Digest, source: Reference) -> bool:
        """Whether the registry could take the blob over from another of its repositories."""
        if source.domain != self._reference.domain or source.path == self._reference.path:
            return False
        return self._client.mount_blob(self._reference, digest, source.path)

    def finish(self, manifest: bytes, config: bytes) -> None:
        descriptor = Descriptor(cachedocument.CONFIG, Digest.of(config), len(config))
        self._upload.send_config(descriptor, config)
        self._client.put_manifest(self._reference, manifest, mediatype.OCI_MANIFEST)


class _Directory:
    """An OCI layout: other tags and their blobs stay."""

    def __init__(self, path: str, tag: str, stores: Stores) -> None:
        self._path = path
        self._tag = tag
        self._stores = stores
        os.makedirs(f"{path}/blobs/sha256", exist_ok=True)
        self._known = _layers_of(path, tag)

    def layer(self, layer: Layer) -> Descriptor:
        known = self._known.get(layer.diff_id)
        if known is not None and os.path.exists(blob_path(self._path, known.digest)):
            return known  # compressing it again would give the same
        return self._written(compress(self._stores.layers.tar(layer)))

    def blob(self, blob: Blob) -> Descriptor:
        if os.path.exists(blob_path(self._path, blob.descriptor.digest)):
            return blob.descriptor
        return self._written(blob.chunks())

    def _written(self, chunks: Iterable[bytes]) -> Descriptor:
        """A new blob."""
        home = f"{self._path}/blobs/sha256"
        temporary, descriptor = atomicfile.begin(home, "blob", _MODE)
        seen, size = hasher("sha256"), 0
        try:
            with open(descriptor, "wb") as file:
                for chunk in chunks:
                    seen.update(chunk)
                    size += len(chunk)
                    file.write(chunk)
            digest = Digest.from_hash(seen, "sha256")
            os.rename(temporary, blob_path(self._path, digest))
        except BaseException:
            os.unlink(temporary)
            raise
        return Descriptor(mediatype.OCI_LAYER_GZIP, digest, size)

    def finish(self, manifest: bytes, config: bytes) -> None:
        for data in (config, manifest):
            atomicfile.write(blob_path(self._path, Digest.of(data)), data, mode=_MODE, sync=False)
        head = Descriptor(
            mediatype.OCI_MANIFEST, Digest.of(manifest), len(manifest), annotations=((_REF_NAME, self._tag),)
        )
        lock = FileLock(f"{self._path}/index.json.lock")
        lock.acquire()
        try:
            others = [entry for entry in _entries(self._path) if _tag(entry) != self._tag]
            index = {"schemaVersion": 2, "mediaType": mediatype.OCI_INDEX, "manifests": [*others, head.to_json()]}
            atomicfile.write(f"{self._path}/oci-layout", b'{"imageLayoutVersion":"1.0.0"}', mode=_MODE, sync=False)
            atomicfile.write(f"{self._path}/index.json", json.dumps(index).encode(), mode=_MODE, sync=False)
        finally:
            lock.release()


def _layers_of(directory: str, tag: str) -> dict[DiffID, Descriptor]:
    """The layers of the cache that is there; none when it can't be read."""
    try:
        digest = tagged(directory, tag)
        if digest is None:
            return {}
        with open(blob_path(directory, digest), "rb") as file:
            config, blobs = cachedocument.parse_manifest(file.read(), directory)
        with open(blob_path(directory, config.digest), "rb") as file:
            return cachedocument.parse(file.read(), blobs, directory).layers
    except (LaminaError, OSError):
        return {}


def _entries(directory: str) -> list[dict[str, object]]:
    try:
        with open(f"{directory}/index.json", "rb") as file:
            entries = json.loads(file.read())["manifests"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def _tag(entry: dict[str, object]) -> object:
    annotations = entry.get("annotations")
    return annotations.get(_REF_NAME) if isinstance(annotations, dict) else None
