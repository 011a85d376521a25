"""``docker history``: the steps that made an image, with what each added."""

from __future__ import annotations

from lamina.digest import ChainID, DiffID, ImageID, chain_id
from lamina.errors import Corrupt, NotFound
from lamina.image.contract import Image
from lamina.image.store import FileImageStore
from lamina.typing import NamedTuple

#: What Docker shows for a step whose image is not on this host.
MISSING = "<missing>"


class HistoryRow(NamedTuple):
    """One step.

    :ivar id: image ID, or ``<missing>``.
    :ivar created: RFC 3339 text, ``""`` when the configuration does not say.
    :ivar size: bytes that the step's layer added; 0 for a step without one.
    :ivar tags: familiar names of the image of this step.
    """

    id: str
    created: str
    created_by: str
    size: int
    comment: str
    tags: tuple[str, ...]


class InconsistentHistory(Corrupt):
    """The history counts more layers than the image has."""

    def __init__(self, id: ImageID) -> None:
        super().__init__(f"too many non-empty layers in History section of {id}")


def history(store: FileImageStore, image: Image) -> list[HistoryRow]:
    """The steps, newest first.

    :raises InconsistentHistory: Docker's message.
    """
    ids = _ids(store, image, len(image.config.history))
    rows = []
    for number, (entry, size) in enumerate(zip(reversed(image.config.history), _sizes(store, image), strict=True)):
        id, tags = ids[number] if number < len(ids) else (MISSING, ())
        rows.append(HistoryRow(id, entry.created, entry.created_by, size, entry.comment, tags))
    return rows


def _sizes(store: FileImageStore, image: Image) -> list[int]:
    """Bytes that each step added, newest first. A layer that is missing counts 0."""
    sizes = []
    remaining: list[DiffID] = list(reversed(image.config.diff_ids))
    chain: ChainID | None = None
    for entry in image.config.history:
        if entry.empty_layer:
            sizes.append(0)
            continue
        if not remaining:
            raise InconsistentHistory(image.id)
        chain = chain_id(chain, remaining.pop())
        try:
            sizes.append(store.layers.get(chain).size)
        except (NotFound, Corrupt):
            sizes.append(0)
    sizes.reverse()
    return sizes


def _ids(store: FileImageStore, image: Image, steps: int) -> list[tuple[str, tuple[str, ...]]]:
    """IDs and tags of the newest steps: the image, its parent on this host, and so on."""
    found: list[tuple[str, tuple[str, ...]]] = []
    current: ImageID | None = image.id
    while current is not None and len(found) < steps and (not found or store.database.exists(current)):
        tags = tuple(name.familiar for name in store.references.of(current) if name.tag is not None)
        found.append((str(current), tags))
        current = store.database.parent(current)
    return found
