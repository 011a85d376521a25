"""One layer on its way to a registry: found there, mounted there, or sent.

In this order, because each is much cheaper than the next: a blob that the repository has; one that another repository
of the registry has; one that was kept when it was pulled; the layer compressed anew.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator

from lamina.digest import Digest
from lamina.distribution import originals
from lamina.distribution.metadata import BlobPlace, DistributionMetadata, place_hmac
from lamina.distribution.stores import Stores
from lamina.errors import Cancelled, Unavailable
from lamina.functools import partial
from lamina.layer.contract import Layer
from lamina.oci import mediatype
from lamina.oci.descriptor import Descriptor
from lamina.progress import Event, Report
from lamina.reference import Reference, parse
from lamina.registry.client import RegistryClient
from lamina.tarball.gzipwriter import BLOCK_SIZE, compress
from lamina.typing import NamedTuple

#: Opens a layer's bytes from the beginning, as they are to travel.
OpenChunks = Callable[[], Iterable[bytes]]

#: Blobs that are asked for at most for one layer: each costs a round trip.
_CANDIDATE_LIMIT = 8
#: Repositories that are tried at most as the source of one blob.
_MOUNT_LIMIT = 4
#: Seconds between two progress events of one layer.
_INTERVAL = 0.1


class Placed(NamedTuple):
    """Where a layer ended up: the blob that the repository has now for it."""

    layer: Layer
    descriptor: Descriptor


class LayerUpload:
    """Brings layers of one image into one repository. Thread-safe.

    :param hmac_key: see :func:`lamina.distribution.metadata.hmac_key`.
    """

    def __init__(
        self, stores: Stores, client: RegistryClient, reference: Reference, report: Report, *, hmac_key: bytes
    ) -> None:
        self._stores = stores
        self._client = client
        self._reference = reference
        self._report = report
        self._metadata = DistributionMetadata(stores.root)
        self._hmac_key = hmac_key
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """Make every running :meth:`place` end with :class:`Cancelled` soon."""
        self._cancelled.set()

    def place(self, layer: Layer, wanted: list[Descriptor]) -> Placed:
        """Make ``layer`` a blob of the repository.

        :param wanted: what the layer was in manifests that the image is known by, the best first.
        """
        places = self._metadata.places(layer.diff_id)
        candidates = _candidates(wanted, places)
        found = self._find(layer, candidates, places) or self._send_kept(layer, candidates)
        descriptor = found or self._send_compressed(layer)
        digest, name = descriptor.digest, self._reference.name
        self._metadata.add(layer.diff_id, BlobPlace(digest, name, place_hmac(self._hmac_key, digest, name)))
        return Placed(layer, descriptor)

    def _find(self, layer: Layer, candidates: list[Descriptor], places: list[BlobPlace]) -> Descriptor | None:
        name = layer.diff_id.hex[:12]
        for candidate in candidates:
            self._check_cancelled()
            size = self._client.blob_exists(self._reference, candidate.digest)
            if size is not None:
                self._report(Event("Layer already exists", name))
                return candidate._replace(size=size)
            source = self._mount(candidate.digest, places)
            if source:
                self._report(Event(f"Mounted from {source}", name))
                size = self._client.blob_exists(self._reference, candidate.digest)
                return candidate._replace(size=candidate.size if size is None else size)
        return None

    def _mount(self, digest: Digest, places: list[BlobPlace]) -> str:
        """Try to mount a blob from the repositories that had it; the one that it worked with, else ``""``."""
        sources = dict.fromkeys(place.repository for place in reversed(places) if place.digest == digest)
        tried = 0
        for repository in sources:
            source = parse(repository)
            if source.domain != self._reference.domain or source.path == self._reference.path:
                continue
            if tried == _MOUNT_LIMIT:
                break
            tried += 1
            if self._client.mount_blob(self._reference, digest, source.path):
                return source.path
        return ""

    def _send_kept(self, layer: Layer, candidates: list[Descriptor]) -> Descriptor | None:
        for candidate in candidates:
            path = originals.kept_blob(self._stores.root, candidate.digest, candidate.size)
            if path:
                return self._send(layer, candidate, partial(self._kept, layer, path, candidate.size))
        return None

    def _send_compressed(self, layer: Layer) -> Descriptor:
        sent = self._send(layer, None, partial(self._compressed, layer))
        return sent._replace(media_type=mediatype.DOCKER_LAYER_GZIP)

    def send_config(self, descriptor: Descriptor, raw: bytes) -> None:
        """Make an image's configuration a blob of the repository."""
        if self._client.blob_exists(self._reference, descriptor.digest) is None:
            self._retrying(lambda: self._client.upload_blob(self._reference, [raw], known=descriptor))

    def _send(self, layer: Layer, known: Descriptor | None, open_chunks: OpenChunks) -> Descriptor:
        """Upload what ``open_chunks`` gives; from its beginning again when it breaks off."""
        name = layer.diff_id.hex[:12]
        self._report(Event("Pushing", name, 0, layer.size))
        sent = self._retrying(lambda: self._client.upload_blob(self._reference, open_chunks(), known=known))
        self._report(Event("Pushed", name))
        return sent

    def _retrying(self, upload: Callable[[], Descriptor]) -> Descriptor:
        attempts = self._client.settings.attempts
        for attempt in range(1, attempts):
            self._check_cancelled()
            try:
                return upload()
            except Unavailable:
                self._cancelled.wait(self._client.delay(attempt))
        self._check_cancelled()
        return upload()

    def _kept(self, layer: Layer, path: str, size: int) -> Iterator[bytes]:
        pieces = originals.read_chunks(path)
        return self._metered(layer, ((piece, len(piece)) for piece in pieces), size)

    def _compressed(self, layer: Layer) -> Iterator[bytes]:
        pieces = compress(self._stores.layers.tar(layer))
        return self._metered(layer, ((piece, BLOCK_SIZE) for piece in pieces), layer.size)

    def _metered(self, layer: Layer, pieces: Iterable[tuple[bytes, int]], total: int) -> Iterator[bytes]:
        """The pieces, with how many of the layer's bytes each stands for, and how far they have been taken."""
        name, done, reported = layer.diff_id.hex[:12], 0, 0.0
        for piece, size in pieces:
            self._check_cancelled()
            yield piece
            done += size
            now = time.monotonic()
            if now - reported >= _INTERVAL:
                reported = now
                self._report(Event("Pushing", name, min(done, total), total))

    def _check_cancelled(self) -> None:
        if self._cancelled.is_set():
            raise Cancelled("context canceled")


def _candidates(wanted: list[Descriptor], places: list[BlobPlace]) -> list[Descriptor]:
    """The blobs that a layer may be: those of its manifests, then those it was pulled or pushed as, the latest first.

    What is known by its place only has size 0 until the registry says it, and is what Docker pushes: gzip.
    """
    found = {descriptor.digest: descriptor for descriptor in wanted}
    for place in reversed(places):
        found.setdefault(place.digest, Descriptor(mediatype.DOCKER_LAYER_GZIP, place.digest, 0))
    return list(found.values())[:_CANDIDATE_LIMIT]
