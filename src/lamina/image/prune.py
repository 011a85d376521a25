"""``docker image prune``: every image that nothing uses, by Docker's rules (``daemon/images/image_prune.go``)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from lamina.errors import Conflict, NotFound
from lamina.image.contract import Image
from lamina.image.removal import Deleted, InUse, Removed, no_containers, remove
from lamina.image.store import FileImageStore


class PruneResult(NamedTuple):
    """What went, and the bytes of the layers among it."""

    removed: list[Removed]
    reclaimed: int


class LabelFilter(NamedTuple):
    """One ``label`` or ``label!`` filter. ``value`` is ``None`` when only the key counts."""

    key: str
    value: str | None = None

    @classmethod
    def parse(cls, text: str) -> LabelFilter:
        """``key`` or ``key=value``."""
        key, equals, value = text.partition("=")
        return cls(key, value if equals else None)

    def matches(self, labels: dict[str, str]) -> bool:
        return self.key in labels and self.value in (None, labels[self.key])


def prune(
    store: FileImageStore,
    *,
    all_unused: bool = False,
    created_before: Callable[[Image], bool] | None = None,
    labels: Sequence[LabelFilter] = (),
    without_labels: Sequence[LabelFilter] = (),
    in_use: InUse = no_containers,
) -> PruneResult:
    """Remove nameless images that have no children, or with ``all_unused`` every image that no container uses.

    :param created_before: the ``until`` filter, ready to ask; an image without a date never passes it.
    :param labels: only images that have all of them. :param without_labels: not those that have all of these.
    """
    removed: list[Removed] = []
    for image in _candidates(store, all_unused=all_unused):
        if created_before is not None and not created_before(image):
            continue
        own = image.config.config.get("Labels") or {}
        if not all(label.matches(own) for label in labels):
            continue
        if without_labels and all(label.matches(own) for label in without_labels):
            continue
        removed += _remove_one(store, image, in_use)
    return PruneResult(removed, sum(item.size for item in removed if isinstance(item, Deleted)))


def _candidates(store: FileImageStore, *, all_unused: bool) -> list[Image]:
    """Images without a tag, or all; never those that only serve as parents."""
    images = list(store.all())
    parents = {image.parent for image in images}
    found = []
    for image in images:
        names = store.references.of(image.id)
        if not names and image.id in parents:
            continue
        if all_unused or (image.id not in parents and all(name.tag is None for name in names)):
            found.append(image)
    return sorted(found, key=lambda image: image.id)


def _remove_one(store: FileImageStore, image: Image, in_use: InUse) -> list[Removed]:
    """Remove an image by all its names, or by its ID. What is in use, or gone by now, stays out of it."""
    removed: list[Removed] = []
    for text in [str(name) for name in store.references.of(image.id)] or [image.id.hex]:
        try:
            removed += remove(store, text, in_use=in_use)
        except (Conflict, NotFound):
            continue
    return removed
