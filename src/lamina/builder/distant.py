"""Layers that are in a cache elsewhere, and come here when something needs their files.

Most of what a cache holds is never looked at: of a stage that is only copied from, the digest of what is copied says
enough. So a layer is known by its ChainID first, and fetched last.
"""

from __future__ import annotations

from _thread import allocate_lock
from collections.abc import Callable, Iterable

from lamina.builder.progress import Steps
from lamina.digest import ChainID, DiffID, DigestMismatch
from lamina.layer.contract import Layer
from lamina.layer.staged import Staged
from lamina.typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from lamina.oci.descriptor import Descriptor
    from lamina.reference import Reference

_AT_ONCE = 3


class Blob(NamedTuple):
    """A compressed layer that is elsewhere.

    :ivar chunks: its bytes, verified against the descriptor when the last has come.
    :ivar reference: of the repository that has it; ``None`` when no registry does.
    """

    descriptor: Descriptor
    chunks: Callable[[], Iterable[bytes]]
    reference: Reference | None = None


class Distant:
    """One layer that is not here, or was not when it was asked for.

    :ivar near: what it became here; ``None`` until it is fetched.
    """

    def __init__(self, parent: AnyLayer | None, diff_id: DiffID, chain_id: ChainID, blob: Blob) -> None:
        self.parent = parent
        self.diff_id = diff_id
        self.chain_id = chain_id
        self.blob = blob
        self.near: Layer | Staged | None = None


class DistantImage:
    """The top layer of an image that is in its registry. Thread-safe.

    :param bring: pulls the image; its top layer.
    :ivar near: that layer; ``None`` until it is here.
    """

    def __init__(self, name: str, chain_id: ChainID, bring: Callable[[], Layer]) -> None:
        self.name = name
        self.chain_id = chain_id
        self.near: Layer | None = None
        self._bring = bring
        self._bringing = allocate_lock()

    def pull(self, steps: Steps) -> Layer:
        """Have it here."""
        with self._bringing:
            if self.near is None:
                with steps.step(f"pulling {self.name}"):
                    self.near = self._bring()
            return self.near


#: A layer that exists, that is being made, or that is elsewhere.
AnyLayer = Layer | Staged | Distant | DistantImage


def lowest(layer: AnyLayer | None) -> AnyLayer | None:
    """What distant layers that have not come stand on."""
    while isinstance(layer, Distant) and layer.near is None:
        layer = layer.parent
    return layer


def near(layer: AnyLayer | None) -> Layer | Staged | None:
    """What the layer is here; ``None`` also for one that has not come."""
    return layer.near if isinstance(layer, (Distant, DistantImage)) else layer


class Workshop(Protocol):
    """Where layers come to exist: one build's, safe between threads."""

    def hold(self, chain: ChainID) -> Layer | None:
        """A layer that exists, kept while the build lasts; ``None`` when there is none."""

    def stage_layer(self, parent: AnyLayer | None) -> Staged:
        """A new layer."""

    def drop(self, staged: Staged) -> None:
        """Give one up."""


def fetch(layer: AnyLayer | None, workshop: Workshop) -> Layer | Staged | None:
    """The layer, here, with all below it. Several are fetched at once. One thread at a time may call this.

    An image that they stand on must be here.


    :raises DigestMismatch: a layer is another than the cache said. Nothing of it stays.
    """
    wanted: list[Distant] = []
    top = layer
    while isinstance(layer, Distant) and layer.near is None:
        wanted.append(layer)
        layer = layer.parent
    made: list[Staged] = []
    try:
        for one in reversed(wanted):
            one.near = workshop.hold(one.chain_id)
            if one.near is None:
                one.near = staged = workshop.stage_layer(near(one.parent))
                staged.diff_id = one.diff_id
                made.append(staged)
        _fill([(one.near, one.blob) for one in reversed(wanted) if isinstance(one.near, Staged)])
    except BaseException:
        for one in wanted:
            one.near = None
        for staged in reversed(made):
            workshop.drop(staged)
        raise
    return near(top)


def _fill(missing: list[tuple[Staged, Blob]]) -> None:
    if len(missing) == 1:
        _fill_one(*missing[0])
    elif missing:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="lamina-cache") as pool:
            list(pool.map(lambda pair: _fill_one(*pair), missing))


def _fill_one(staged: Staged, blob: Blob) -> None:
    try:
        result = staged.fill(blob.chunks())
    except BaseException:
        staged.stop()  # a layer above may be waiting for its content
        raise
    assert staged.diff_id is not None
    if result.diff_id != staged.diff_id:
        raise DigestMismatch(f"cached layer {blob.descriptor.digest}", staged.diff_id, result.diff_id)
