"""What a layer store is: which layers exist, by ChainID, and how new ones come to exist.

A layer exists when, and only when, ``layerdb/sha256/<chain id>/`` has been renamed into place. Everything before that
rename happens in a :class:`LayerTransaction`; a transaction that ends without ``commit``, or whose process dies, leaves
nothing (the journal names what it created; the next process that opens the store removes it).
"""

from collections.abc import Iterator

from lamina.contextlib import AbstractContextManager
from lamina.digest import ChainID, DiffID
from lamina.graphdriver.contract import Skeleton
from lamina.typing import IO, NamedTuple, Protocol


class Layer(NamedTuple):
    """A complete layer: one directory ``layerdb/sha256/<chain id>``.

    :ivar size: bytes of the regular files in this layer's own tar, as Docker's ``size`` file has it.
    """

    chain_id: ChainID
    diff_id: DiffID
    parent: ChainID | None
    size: int
    cache_id: str


class Change(NamedTuple):
    """One line of ``docker diff``. ``path`` is absolute inside the container; ``kind`` is ``A``, ``C`` or ``D``."""

    kind: str
    path: bytes


class UnpackResult(NamedTuple):
    """What unpacking one layer's tar found out.

    :ivar diff_id: digest of the uncompressed bytes.
    :ivar size: bytes of regular file content, as Docker counts a layer's size.
    :ivar tar_size: uncompressed bytes of the whole tar.
    """

    diff_id: DiffID
    size: int
    tar_size: int


class UnpackJob(Protocol):
    """One layer on its way from a stream into its directory; runs beside the caller in a thread or a process."""

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Give the next compressed bytes; blocks while the job is behind. Raises what unpacking raised."""

    def finish(self) -> UnpackResult:
        """Say that the stream ended, wait. Raises ``Corrupt``, ``NoSpace`` or what else went wrong."""

    def abort(self) -> None:
        """Stop and wait for the worker's end. Idempotent; what was written stays for the transaction to remove."""


class StagedLayer(Protocol):
    """A layer in the making inside a transaction.

    :ivar diff_id: what it must turn out to be; ``None`` when nobody knows yet (commit, import).
    """

    diff_id: DiffID | None
    cache_id: str

    def unpack(self) -> UnpackJob:
        """Begin to fill it from a tar stream, plain or in any compression that Docker accepts (found by magic)."""

    def fill_from(self, stream: IO[bytes]) -> UnpackResult:
        """:meth:`unpack` fed with all of ``stream``."""

    def stop(self) -> None:
        """Give it up: its job ends, and whoever waits for its content to stand on fails. Idempotent."""


class LayerTransaction(AbstractContextManager["LayerTransaction"], Protocol):
    """Makes the layers of one image. Leaving the ``with`` block without :meth:`commit` undoes everything."""

    def claim(self, diff_id: DiffID, parent: Layer | StagedLayer | None) -> Layer | StagedLayer:
        """The layer ``diff_id`` on ``parent``: the existing one, or a new one that the caller must fill.

        Waits while another process fills the same one, so the work is done once. Call bottom layer first.
        """

    def stage(self, parent: Layer | StagedLayer | None) -> StagedLayer:
        """A new layer on ``parent`` whose DiffID will be known after it is filled."""

    def commit(self) -> list[Layer]:
        """Sync once, then rename every filled layer into place, bottom first; the layers in order of claim or stage.

        A staged layer whose ChainID exists by now is dropped in favour of the existing one.
        Raises ``DigestMismatch`` when a claimed layer turned out to be another one, and undoes everything.
        """


class MountedLayer(NamedTuple):
    """A container's writable layer: ``layerdb/mounts/<container id>``.

    :ivar init_id: id of the ``-init`` layer below it, ``""`` when there is none.
    :ivar parent: ChainID of the image's top layer; ``None`` for an image without layers.
    """

    container_id: str
    mount_id: str
    init_id: str
    parent: ChainID | None


class LayerStore(Protocol):
    """Layers and writable layers on one data root. Thread-safe and safe between processes."""

    def get(self, chain_id: ChainID) -> Layer:
        """Raises ``NotFound``; ``Corrupt`` when a metadata file is empty or malformed."""

    def exists(self, chain_id: ChainID) -> bool: ...

    def all(self) -> Iterator[Layer]:
        """Every complete layer; damaged ones are skipped (``problems`` lists them)."""

    def stack(self, chain_id: ChainID | None) -> list[Layer]:
        """The layers from the bottom up to ``chain_id``; ``[]`` for ``None``."""

    def begin(self) -> LayerTransaction:
        """Start a transaction."""

    def release(self, keep: frozenset[ChainID]) -> list[Layer]:
        """Delete every layer that neither ``keep``, a writable layer, a running transaction nor a kept child needs.

        Returns them, top first. The caller holds the store's lock (:meth:`lock`).
        """

    def lock(self) -> AbstractContextManager[None]:
        """The store-wide exclusive lock, between threads and processes; hold it briefly. Re-entrant in a thread."""

    def tar(self, layer: Layer) -> Iterator[bytes]:
        """The layer's tar, byte for byte as it came (by tar-split). Raises ``Corrupt`` when a file changed since."""

    def mounted_image(self, chain_id: ChainID | None) -> AbstractContextManager[str]:
        """A read-only view of a stack for as long as the context lasts."""

    # Writable layers

    def create_writable(
        self,
        container_id: str,
        parent: ChainID | None,
        initial: Skeleton | None = None,
        *,
        unsynced: list[str] | None = None,
    ) -> MountedLayer:
        """A writable layer for a container; ``initial`` is what its ``-init`` layer holds: mount points, and files such
        as ``/etc/hosts``. All or nothing, and on disk.

        :param unsynced: gets the paths of files and directories that the caller puts on disk, together with its own.
        """

    def writable(self, container_id: str) -> MountedLayer: ...

    def mount(self, container_id: str, *, volatile: bool = False) -> str:
        """Mount the writable layer; the merged path. Idempotent."""

    def unmount(self, container_id: str) -> None: ...

    def reading(self, container_id: str) -> AbstractContextManager[None]:
        """Keep the files of a writable layer, and of those below it, also when it is removed before the context ends.

        Raises ``NotFound`` when it is gone already.
        """

    def remove_writable(self, container_id: str) -> None:
        """Unmount and delete. Idempotent."""

    def discard_writable(self, container_id: str) -> None:
        """The same, but for the space of the files, which :meth:`free` frees."""

    def free(self) -> None:
        """Free the space of what was discarded; the next process does what this one is kept from."""

    def changes(self, container_id: str) -> list[Change]:
        """What ``docker diff`` lists, sorted by path."""

    def writable_tar(self, container_id: str) -> Iterator[bytes]:
        """The writable layer as a layer tar: deterministic order, whiteouts as ``.wh.`` entries."""

    def writable_size(self, container_id: str) -> int:
        """Bytes of the regular files in the writable layer (``SizeRw``)."""
