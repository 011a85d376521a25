"""``docker image prune``: every image that nothing uses, by Docker's rules (``daemon/images/image_prune.go``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lamina import events
from lamina.errors import Conflict, InvalidArgument, NotFound
from lamina.image.contract import Image, InUse
from lamina.image.removal import Deleted, Removed, no_containers, remove
from lamina.image.store import FileImageStore
from lamina.layer.store import FileLayerStore
from lamina.oci import timestamp
from lamina.typing import NamedTuple

#: Filters by name, each with the values that were given.
Filters = Mapping[str, Sequence[str]]

_KNOWN = frozenset(("dangling", "label", "label!", "until"))


class InvalidFilter(InvalidArgument):
    """A filter that pruning does not know, or a value that it can't have."""


class Pruned(NamedTuple):
    """What went, and the bytes of the layers among it."""

    removed: list[Removed]
    reclaimed: int


def prune(
    images: FileImageStore,
    layers: FileLayerStore,
    *,
    all: bool = False,
    filters: Filters | None = None,
    in_use: InUse = no_containers,
) -> Pruned:
    """Remove images without a tag and without children, or with ``all`` every image that no container uses.

    :param filters: ``until`` (a moment: only older images), ``label`` and ``label!`` (``key`` or ``key=value``; all
        given ones must match), ``dangling`` (``false`` means ``all``).
    :raises InvalidFilter: Docker's message; ``InvalidMoment``.
    """
    wanted = _Wanted(filters or {})
    if wanted.dangling is not None:
        all = not wanted.dangling
    removed: list[Removed] = []
    for image in _candidates(images, all=all):
        if wanted.accepts(image):
            removed += _remove_one(images, layers, image, in_use)
    reclaimed = sum(item.size for item in removed if isinstance(item, Deleted))
    events.pruned(images.root, events.IMAGE, reclaimed)
    return Pruned(removed, reclaimed)


class _Wanted:
    """The filters, checked."""

    def __init__(self, filters: Filters) -> None:
        for name in filters:
            if name not in _KNOWN:
                raise InvalidFilter(f"Invalid filter '{name}'")
        self.dangling = _dangling(filters.get("dangling"))
        self._with = [label.partition("=") for label in filters.get("label", ())]
        self._without = [label.partition("=") for label in filters.get("label!", ())]
        self._until: int | None = None
        moments = filters.get("until", ())
        if len(moments) > 1:
            raise InvalidFilter("more than one until filter specified")
        if moments:
            self._until = timestamp.moment(moments[0])

    def accepts(self, image: Image) -> bool:
        if self._until is not None and not self._is_older(image):
            return False
        labels: dict[str, str] = image.config.config.get("Labels") or {}
        if not _match_all(self._with, labels):
            return False
        return not self._without or not _match_all(self._without, labels)

    def _is_older(self, image: Image) -> bool:
        """Whether the image was created before ``until``; one without a date never was."""
        try:
            created = timestamp.nanoseconds(image.config.created)
        except timestamp.InvalidTime:
            return False
        return self._until is not None and created <= self._until


def _dangling(values: Sequence[str] | None) -> bool | None:
    """What ``dangling`` asks for; of several values the one that takes more."""
    if values is None:
        return None
    if "false" in values or "0" in values:
        return False
    if "true" in values or "1" in values:
        return True
    raise InvalidFilter(f"Invalid filter 'dangling=[{' '.join(values)}]'")


def _match_all(wanted: list[tuple[str, str, str]], labels: dict[str, str]) -> bool:
    return all(key in labels and (not equals or labels[key] == value) for key, equals, value in wanted)


def _candidates(images: FileImageStore, *, all: bool) -> list[Image]:
    """Images without a tag, or all; never those that only serve as parents. In the order of their IDs."""
    every = list(images.all())
    parents = {image.parent for image in every}
    found = []
    for image in every:
        names = images.references.of(image.id)
        if image.id in parents and not (all and names):
            continue
        if all or not any(name.tag is not None for name in names):
            found.append(image)
    return sorted(found, key=lambda image: image.id)


def _remove_one(images: FileImageStore, layers: FileLayerStore, image: Image, in_use: InUse) -> list[Removed]:
    """Remove an image by all its names, or by its ID. What is in use, or gone by now, stays out of it."""
    removed: list[Removed] = []
    for text in [str(name) for name in images.references.of(image.id)] or [image.id.hex]:
        try:
            removed += remove(images, layers, text, in_use=in_use)
        except (Conflict, NotFound):
            continue
    return removed
