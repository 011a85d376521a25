"""``builder prune``: forget steps, and free what only they kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from lamina import events
from lamina.builder.cache import PICKS, BuildCache
from lamina.builder.cachelist import CacheEntry, check_filters, entries, matches
from lamina.builder.sums import SUMS
from lamina.dataroot import DataRoot
from lamina.digest import ChainID
from lamina.filelock import FileLock
from lamina.graphdriver.removal import remove_tree
from lamina.image.store import FileImageStore
from lamina.layer.store import FileLayerStore
from lamina.oci import timestamp
from lamina.typing import NamedTuple

_NONE: Mapping[str, Sequence[str]] = MappingProxyType({})


class Pruned(NamedTuple):
    """What went.

    :ivar removed: keys of steps and names of directories.
    :ivar reclaimed: bytes.
    """

    removed: list[str]
    reclaimed: int


def prune(
    root: DataRoot,
    layers: FileLayerStore,
    images: FileImageStore,
    *,
    all: bool = False,
    until: str | None = None,
    keep: int = 0,
    filters: Mapping[str, Sequence[str]] = _NONE,
) -> Pruned:
    """Remove build cache, but for what a build uses meanwhile.

    :param all: also steps whose layers an image has, and what files and layers turned out to be.
    :param until: a duration or a time: only what was last used before it.
    :param keep: bytes of layers and directories that may stay, those used last.
    :param filters: see :func:`lamina.builder.cachelist.matches`.
    :raises InvalidMoment: ``until`` is neither.
    :raises InvalidFilter: a filter has another name.
    """
    root.require_writable()
    check_filters(filters)
    before = timestamp.moment(until) / timestamp.SECOND if until else None
    cache = BuildCache(root)
    with layers.operation(), layers.lock():
        used = set() if all else _stacks(layers, (image.config.chain_id for image in images.all()))
        old = [
            entry
            for entry in sorted(entries(root), key=lambda entry: entry.used, reverse=True)
            if (before is None or entry.used < before) and matches(entry, filters) and not _needed(entry, used)
        ]
        gone = _beyond(old, keep)
        for entry in gone:
            if entry.record is not None:
                cache.remove(entry.id)
        candidates = {entry.chain for entry in gone if entry.chain is not None}
        released = layers.release(images.needed_layers(), [chain for chain in candidates if layers.exists(chain)])
        held = {chain for chain in candidates if layers.exists(chain)}
        if held:
            held -= _stacks(layers, images.needed_layers())
            # What only a build uses just now would be nobody's once that has ended: the next one to prune asks again.
            for entry in gone:
                if entry.record is not None and entry.chain in held:
                    cache.put(entry.record.step)
            gone = [entry for entry in gone if entry.chain not in held]
    reclaimed = sum(layer.size for layer in released)
    removed = []
    for entry in gone:
        if entry.record is None:
            if not _remove_directory(root, entry):
                continue
            reclaimed += entry.size
        removed.append(entry.id)
    if all and before is None and not filters:
        remove_tree(root.sub(SUMS))
        remove_tree(root.sub(PICKS))
    events.pruned(root, events.BUILDER, reclaimed)
    return Pruned(removed, reclaimed)


def _needed(entry: CacheEntry, used: set[ChainID | None]) -> bool:
    """Whether an image has what a step made."""
    return entry.record is not None and entry.chain in used


def _stacks(layers: FileLayerStore, tops: Iterable[ChainID | None]) -> set[ChainID | None]:
    """Every layer of these stacks, as the top of one; those that are not there are left out."""
    found: set[ChainID | None] = set()
    for chain in tops:
        if chain is not None and chain not in found and layers.exists(chain):
            found.update(layer.chain_id for layer in layers.stack(chain))
    return found


def _beyond(found: list[CacheEntry], keep: int) -> list[CacheEntry]:
    """The entries that go, the last used ones staying while they fit."""
    gone = []
    for entry in found:
        if keep and entry.size <= keep:
            keep -= entry.size
        else:
            keep = 0
            gone.append(entry)
    return gone


def _remove_directory(root: DataRoot, entry: CacheEntry) -> bool:
    """Remove a directory unless a build uses it now."""
    lock = FileLock(root.sub("lamina/locks", f"build-cache-{entry.id}"))
    if not lock.acquire(wait=False):
        return False
    try:
        remove_tree(entry.path)
    finally:
        lock.release()
    return True


def usage(root: DataRoot) -> tuple[list[CacheEntry], int]:
    """What there is, the last used first, and the bytes of it all."""
    found = sorted(entries(root), key=lambda entry: entry.used, reverse=True)
    sizes: dict[ChainID | None, int] = {}  # several steps may be one layer
    for entry in found:
        if entry.record is not None:
            sizes[entry.chain] = max(entry.size, sizes.get(entry.chain, 0))
    return found, sum(sizes.values()) + sum(entry.size for entry in found if entry.record is None)
