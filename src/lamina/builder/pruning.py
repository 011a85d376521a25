"""``builder prune``: forget steps, and free what only they kept."""

from __future__ import annotations

import os
from typing import NamedTuple

from lamina.builder.cache import BuildCache, Record
from lamina.builder.mounting import CACHES
from lamina.builder.stored import DOWNLOADS, REPOSITORIES
from lamina.builder.sums import SUMS
from lamina.dataroot import DataRoot
from lamina.digest import ChainID
from lamina.filelock import FileLock
from lamina.graphdriver.removal import remove_tree
from lamina.image.store import FileImageStore
from lamina.layer.content import directory_size
from lamina.layer.database import list_directory
from lamina.layer.store import FileLayerStore
from lamina.oci import timestamp


class Pruned(NamedTuple):
    """What went.

    :ivar removed: keys of steps and names of cache mounts.
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
) -> Pruned:
    """Remove build cache.

    :param all: also steps whose layers an image has, and digests of files.
    :param until: a duration or a time: only what was last used before it.
    :param keep: bytes of layers and cache mounts that may stay, those used last.
    :raises InvalidMoment: ``until`` is neither.
    """
    root.require_writable()
    before = timestamp.moment(until) / timestamp.SECOND if until else None
    cache = BuildCache(root)
    with layers.operation(), layers.lock():
        used = set() if all else _stacks(images, layers)
        old = [
            record
            for record in sorted(cache.records(), key=lambda record: record.used, reverse=True)
            if (before is None or record.used < before) and record.step.chain not in used
        ]
        gone, keep = _beyond(old, keep)
        for record in gone:
            cache.remove(record.step.key)
        candidates = {record.step.chain for record in gone if record.step.chain is not None}
        released = layers.release(images.needed_layers(), [chain for chain in candidates if layers.exists(chain)])
    removed = [record.step.key for record in gone]
    reclaimed = sum(layer.size for layer in released)
    names, size = _prune_kept(root, before, keep)
    if all and before is None:
        remove_tree(root.sub(SUMS))
    return Pruned(removed + names, reclaimed + size)


def _stacks(images: FileImageStore, layers: FileLayerStore) -> set[ChainID | None]:
    """Every layer that an image has, as the top of a stack."""
    found: set[ChainID | None] = set()
    for image in images.all():
        chain = image.config.chain_id
        if chain is not None and chain not in found and layers.exists(chain):
            found.update(layer.chain_id for layer in layers.stack(chain))
    return found


def _beyond(records: list[Record], keep: int) -> tuple[list[Record], int]:
    """The records that go, the last used ones staying while they fit; what is left of ``keep``."""
    gone = []
    for record in records:
        if keep and record.step.size <= keep:
            keep -= record.step.size
        else:
            keep = 0
            gone.append(record)
    return gone, keep


def _kept(root: DataRoot) -> list[str]:
    """Directories of ``RUN --mount=type=cache``, downloads and git repositories."""
    homes = [root.sub(CACHES), root.sub(DOWNLOADS), root.sub(REPOSITORIES)]
    return [f"{home}/{name}" for home in homes for name in list_directory(home)]


def _prune_kept(root: DataRoot, before: float | None, keep: int) -> tuple[list[str], int]:
    """Those that no build uses now."""
    names, size = [], 0
    for path in _kept(root):
        name = os.path.basename(path)
        if before is not None and os.stat(path).st_mtime >= before:
            continue
        taken = directory_size(path)
        if taken <= keep:
            keep -= taken
            continue
        lock = FileLock(root.sub("lamina/locks", f"build-cache-{name}"))
        if lock.acquire(wait=False):
            try:
                remove_tree(path)
            finally:
                lock.release()
            names.append(name)
            size += taken
    return names, size


def usage(root: DataRoot) -> tuple[int, int]:
    """How many steps and directories there are, and the bytes of their layers and files."""
    records = list(BuildCache(root).records())
    kept = _kept(root)
    sizes: dict[ChainID | None, int] = {}  # several steps may be one layer
    for record in records:
        sizes[record.step.chain] = max(record.step.size, sizes.get(record.step.chain, 0))
    return len(records) + len(kept), sum(sizes.values()) + sum(map(directory_size, kept))
