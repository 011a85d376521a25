"""Mending a layer's metadata from what else is known.

A ChainID is a digest over the parent's ChainID and the DiffID, so each of the three proves the other two; the layers
above name a layer's directory in the graph driver; the tar, rebuilt from content and tar-split, proves all of it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable

from lamina import atomicfile
from lamina.digest import ChainID, DiffID, chain_id
from lamina.errors import Corrupt, LaminaError, NotFound
from lamina.layer.content import content_size
from lamina.layer.contract import Layer
from lamina.layer.database import driver_ids_in
from lamina.layer.ownership import referenced_ids
from lamina.layer.reading import layer_tar
from lamina.layer.workshop import Workshop


def mended(workshop: Workshop, chain: ChainID) -> Layer | None:
    """What a damaged layer's metadata must say, proven by its content; ``None`` when it can't be told."""
    named = driver_ids_in(workshop.database.path(chain))[:1]
    for cache_id in named or _possible_cache_ids(workshop, chain):
        if not workshop.driver.exists(cache_id):
            continue
        try:
            diff_id, size = _measure(workshop, Layer(chain, DiffID(chain), None, 0, cache_id))
        except (LaminaError, OSError):
            continue
        is_bottom = chain_id(None, diff_id) == chain
        parent = None if is_bottom else _parent(workshop, chain, diff_id)
        if (is_bottom or parent is not None) and (named or _stands_on(workshop, cache_id, parent)):
            return Layer(chain, diff_id, parent, size, cache_id)
    return None


def _stands_on(workshop: Workshop, cache_id: str, parent: ChainID | None) -> bool:
    """Whether a directory was made on that of ``parent``: another's may hold the same and more (``vfs``)."""
    try:
        below = workshop.driver.parent_ids(cache_id)[:1]
        return below == ([workshop.database.cache_id(parent)] if parent is not None else [])
    except (LaminaError, OSError):
        return False


def mend(workshop: Workshop, layer: Layer) -> Callable[[], None]:
    """An action that writes a layer's metadata anew."""

    def write() -> None:
        directory = workshop.database.path(layer.chain_id)
        texts = {"cache-id": layer.cache_id, "diff": str(layer.diff_id), "size": str(layer.size)}
        if layer.parent is not None:
            texts["parent"] = str(layer.parent)
        for name, text in texts.items():
            atomicfile.write(f"{directory}/{name}", text.encode(), mode=0o644)
        if layer.parent is None and os.path.exists(f"{directory}/parent"):
            os.unlink(f"{directory}/parent")

    return write


def content_problem(workshop: Workshop, layer: Layer) -> str | None:
    """Why a layer's content is not what its DiffID says; ``None`` when it is. Reads all of it."""
    try:
        diff_id, _ = _measure(workshop, layer)
    except (Corrupt, NotFound) as error:
        return str(error)
    except OSError as error:
        return f"its content can't be read: {error}"
    return None if diff_id == layer.diff_id else f"its content has digest {diff_id}, not {layer.diff_id}"


def _measure(workshop: Workshop, layer: Layer) -> tuple[DiffID, int]:
    hasher = hashlib.sha256()
    for data in layer_tar(workshop, layer):
        hasher.update(data)
    return DiffID(f"sha256:{hasher.hexdigest()}"), content_size(workshop, layer)


def _possible_cache_ids(workshop: Workshop, chain: ChainID) -> list[str]:
    """The ids that the layers above were made on, else those that nobody names."""
    found: list[str] = []
    for other in workshop.database.chain_ids():
        try:
            if workshop.database.parent(other) != chain:
                continue
            below = workshop.driver.parent_ids(workshop.database.cache_id(other))
        except (LaminaError, OSError):
            continue
        if below and below[0] not in found:
            found.append(below[0])
    return found or sorted(set(workshop.driver.ids()) - referenced_ids(workshop))


def _parent(workshop: Workshop, chain: ChainID, diff_id: DiffID) -> ChainID | None:
    """The layer that makes ``chain`` of ``diff_id``; ``None`` when none does."""
    for candidate in workshop.database.chain_ids():
        if chain_id(candidate, diff_id) == chain:
            return candidate
    return None
