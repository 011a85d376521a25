"""Layers on their way from a registry into their directories, several at once.

Each layer goes from the socket straight into its unpack job: nothing is written twice, and no blob is held. At
most so many downloads run at once; the unpack jobs run beside them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock
from types import TracebackType

from lamina.contextlib import ExitStack
from lamina.dataroot import DataRoot
from lamina.digest import Digest, DigestMismatch
from lamina.distribution import originals
from lamina.distribution.parallel import Workers
from lamina.errors import Cancelled, Corrupt
from lamina.functools import partial
from lamina.layer.contract import StagedLayer
from lamina.oci import mediatype
from lamina.oci.descriptor import Descriptor
from lamina.progress import Event, Report
from lamina.reference import Reference
from lamina.registry.client import RegistryClient
from lamina.registry.download import BlobReader
from lamina.registry.errors import BlobUnknown, BrokenTransfer, ConnectionFailed, RefusedRedirect, RegistryError
from lamina.typing import Self

#: Takes a layer's next bytes.
Feed = Callable[[bytes], None]

#: Addresses of one foreign layer that are tried at most.
_ADDRESS_LIMIT = 8
#: Seconds between two progress events of one layer.
_INTERVAL = 0.1


def short(digest: Digest) -> str:
    """How progress names a layer."""
    return digest.hex[:12]


class Downloads:
    """Fills the layers of one image. Leaving the ``with`` block waits for or, after an error, stops what runs.

    :param keep_in: the root to keep blobs in, ``None`` not to keep them.
    """

    def __init__(
        self,
        client: RegistryClient,
        reference: Reference,
        report: Report,
        *,
        keep_in: DataRoot | None = None,
    ) -> None:
        self._client = client
        self._reference = reference
        self._report = report
        self._keep_in = keep_in
        self._workers = Workers(client.settings.concurrent_downloads, self._cancel)
        self._lock = Lock()
        self._cancelled = False
        self._readers: set[BlobReader] = set()

    def start(self, layer: StagedLayer, descriptor: Descriptor) -> None:
        """Begin to fill ``layer``, or put it in line. Call it bottom layer first."""
        if not self._workers.start(partial(self._run, layer, descriptor)):
            self._report(Event("Waiting", short(descriptor.digest)))

    def finish(self) -> None:
        """Wait until all layers are filled. Raises what the first failed one raised."""
        self._workers.finish()

    def _cancel(self) -> None:
        with self._lock:
            self._cancelled = True
            readers = list(self._readers)
        for reader in readers:
            reader.cancel()

    def _run(self, layer: StagedLayer, descriptor: Descriptor) -> None:
        try:
            self._fill(layer, descriptor)
        except BaseException:
            layer.stop()  # the layer above may be waiting for its content
            raise

    def _fill(self, layer: StagedLayer, descriptor: Descriptor) -> None:
        try:
            self._fill_from(self._client.blob(self._reference, descriptor), layer, descriptor)
        except BlobUnknown:
            if not descriptor.urls or not mediatype.is_foreign(descriptor.media_type):
                raise
            self._fill_from_elsewhere(layer, descriptor)

    def _fill_from_elsewhere(self, layer: StagedLayer, descriptor: Descriptor) -> None:
        """Take the layer from the first of its addresses that has it."""
        urls = descriptor.urls[:_ADDRESS_LIMIT]
        for url in urls:
            try:
                return self._fill_from(self._client.foreign_blob(url, descriptor), layer, descriptor)
            except (RegistryError, ConnectionFailed, BrokenTransfer, RefusedRedirect, Corrupt):
                if url is urls[-1]:
                    raise
        return None

    def _fill_from(self, reader: BlobReader, layer: StagedLayer, descriptor: Descriptor) -> None:
        """Fill the layer with a blob. When it fails the layer can be filled from elsewhere, or must be stopped."""
        name = short(descriptor.digest)
        with self._lock:
            if self._cancelled:
                raise Cancelled("context canceled")
            self._readers.add(reader)
        job = layer.unpack()
        try:
            self._feed(reader, job.feed, descriptor)
            self._report(Event("Verifying Checksum", name))
            self._report(Event("Download complete", name))
            self._report(Event("Extracting", name, descriptor.size, descriptor.size))
            result = job.finish()
            if layer.diff_id is not None and result.diff_id != layer.diff_id:
                raise DigestMismatch(f"layer {descriptor.digest}", layer.diff_id, result.diff_id)
        finally:
            with self._lock:
                self._readers.discard(reader)
        self._report(Event("Pull complete", name))

    def _feed(self, reader: BlobReader, feed: Feed, descriptor: Descriptor) -> None:
        """Pass the blob on to ``feed`` and, when blobs are kept, to a file."""
        name, done, reported = short(descriptor.digest), 0, 0.0
        with ExitStack() as stack:
            stack.enter_context(reader)
            kept = None
            if self._keep_in is not None:
                kept = stack.enter_context(originals.keeping_blob(self._keep_in, descriptor.digest))
            for chunk in reader:
                feed(chunk)
                if kept is not None:
                    kept.write(chunk)
                done += len(chunk)
                now = time.monotonic()
                if now - reported >= _INTERVAL:
                    reported = now
                    self._report(Event("Downloading", name, done, descriptor.size))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._workers.__exit__(kind, error, trace)
