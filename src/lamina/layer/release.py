"""Which layers nobody needs any more, and their removal.

There is no reference count on disk that could be wrong: what is needed follows from the images, from the writable
layers, from a dockerd's build cache, and from the running transactions, which hold locks on what they use.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lamina.digest import ChainID
from lamina.layer.buildcache import BuildCache
from lamina.layer.contract import Layer
from lamina.layer.database import DamagedLayer, LayerDatabase, LayerNotFound, MountNotFound, UnreadableLayer
from lamina.layer.workshop import Workshop


def release(workshop: Workshop, keep: Iterable[ChainID], candidates: Iterable[ChainID] | None) -> list[Layer]:
    """Move every unneeded layer to the trash; the layers, top first.

    :param keep: tops of the stacks that images need.
    :param candidates: only these and what is below them may go; ``None`` for all. Damaged layers stay.
    :raises UnreadableLayer: what is needed can't be told; nothing was removed.
    """
    removed = []
    in_use: set[ChainID | None] = set()
    for layer in unneeded(workshop, keep, candidates):
        if layer.chain_id not in in_use and workshop.delete(layer.chain_id):
            removed.append(layer)
        else:
            in_use.add(layer.parent)
    return removed


def unneeded(workshop: Workshop, keep: Iterable[ChainID], candidates: Iterable[ChainID] | None) -> list[Layer]:
    """The layers that :func:`release` may remove, if no transaction uses them, top first."""
    database = workshop.database
    parents: dict[ChainID, ChainID | None] = {}

    def add_stack(chain: ChainID | None, seen: set[ChainID]) -> None:
        while chain is not None and chain not in seen:
            seen.add(chain)
            if chain not in parents:
                parents[chain] = _parent(database, chain)
            chain = parents[chain]

    needed: set[ChainID] = set()
    for chain in (*keep, *_mounted(workshop)):
        add_stack(chain, needed)
    considered: set[ChainID] = set()
    for chain in database.chain_ids() if candidates is None else candidates:
        if chain not in needed:
            add_stack(chain, considered)
    if considered - needed:
        for chain in _kept_by_builds(workshop):
            add_stack(chain, needed)
    found = []
    for chain in _top_first(considered - needed, parents):
        try:
            found.append(database.read(chain))
        except UnreadableLayer:
            raise
        except (DamagedLayer, LayerNotFound):
            continue
    return found


def _parent(database: LayerDatabase, chain: ChainID) -> ChainID | None:
    try:
        return database.parent(chain)
    except UnreadableLayer:
        raise
    except DamagedLayer:
        return None


def _mounted(workshop: Workshop) -> list[ChainID]:
    """Tops of the stacks that writable layers stand on."""
    tops = []
    for container_id in workshop.database.containers():
        try:
            parent = workshop.database.read_mount(container_id).parent
        except UnreadableLayer:
            raise
        except (DamagedLayer, MountNotFound):
            continue
        if parent is not None:
            tops.append(parent)
    return tops


def _kept_by_builds(workshop: Workshop) -> Iterator[ChainID]:
    """Layers whose directory the build cache of a dockerd on this root needs."""
    cache = BuildCache(workshop.root)
    if cache.is_empty:
        return
    for chain in workshop.database.chain_ids():
        try:
            if cache.keeps(workshop.database.cache_id(chain)):
                yield chain
        except (DamagedLayer, LayerNotFound):
            continue


def _top_first(chains: set[ChainID], parents: dict[ChainID, ChainID | None]) -> list[ChainID]:
    """Every layer before what is below it."""
    children: dict[ChainID, int] = dict.fromkeys(chains, 0)
    for chain in chains:
        below = parents[chain]
        if below in children:
            children[below] += 1
    ready = sorted(chain for chain, count in children.items() if not count)
    ordered = []
    while ready:
        chain = ready.pop()
        ordered.append(chain)
        below = parents[chain]
        if below in children:
            children[below] -= 1
            if not children[below]:
                ready.append(below)
    return ordered
