"""Which images a list shows: ``GET /images/json`` with its filters (``docker images``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lamina.digest import ImageID
from lamina.errors import InvalidArgument
from lamina.image.contract import ImageStore, ImageSummary
from lamina.oci import timestamp
from lamina.reference import Reference
from lamina.view import image as view
from lamina.view.labels import match

#: Filters by name, each with the values that were given.
Filters = Mapping[str, Sequence[str]]

_KNOWN = frozenset(("before", "dangling", "label", "reference", "since"))


class InvalidFilter(InvalidArgument):
    """A filter that the list does not know, or a value that it can't have."""


class _Wanted:
    """The filters, checked and compiled."""

    def __init__(self, images: ImageStore, filters: Filters) -> None:
        for name in filters:
            if name not in _KNOWN:
                raise InvalidFilter(f"Invalid filter '{name}'")
        self.dangling = _dangling(filters)
        self.labels = {"label": filters.get("label", ())}
        self.before = _time_of(images, filters, "before")
        self.since = _time_of(images, filters, "since")
        self.names = "reference" in filters
        self._patterns = []
        if self.names:
            from lamina.oci.pattern import compiled  # most lists need none

            self._patterns = [compiled(pattern) for pattern in filters["reference"]]

    def image(self, image: ImageSummary) -> bool:
        """Whether the image itself passes; names are another matter."""
        if self.before is not None or self.since is not None:
            created = timestamp.or_zero(image.created)
            if (self.before is not None and created >= self.before) or (
                self.since is not None and created <= self.since
            ):
                return False
        return match(image.labels or {}, self.labels)

    def reference(self, reference: Reference) -> bool:
        texts = (reference.familiar, reference.familiar_name)
        return not self.names or any(pattern.match(text) for pattern in self._patterns for text in texts)


def _dangling(filters: Filters) -> bool | None:
    values = filters.get("dangling")
    if values is None:
        return None
    if any(value in ("true", "1") for value in values):
        return True
    if any(value in ("false", "0") for value in values):
        return False
    raise InvalidFilter(f"Invalid filter 'dangling=[{' '.join(values)}]'")


def _time_of(images: ImageStore, filters: Filters, name: str) -> int | None:
    values = filters.get(name)
    return timestamp.or_zero(images.resolve(values[-1]).config.created) if values else None


def summaries(images: ImageStore, filters: Filters, *, all: bool = False) -> list[dict[str, Any]]:
    """The images to show, newest first.

    :param all: also images that only serve as parents of others.
    :raises InvalidFilter: Docker's message; ``NotFound`` when ``before`` or ``since`` names no image.
    """
    wanted = _Wanted(images, filters)
    names: dict[ImageID, list[Reference]] = {}
    for reference, image_id in images.references.all().items():
        names.setdefault(image_id, []).append(reference)
    parents = images.parents()
    with_children = frozenset(parents.values())
    shown: list[dict[str, Any]] = []
    for image in images.summaries():
        its_names = names.get(image.id, [])
        is_parent = image.id in with_children
        if (wanted.dangling and is_parent) or not wanted.image(image):
            continue
        references = sorted((name for name in its_names if wanted.reference(name)), key=str)
        if references:
            if wanted.dangling and any(reference.digest is None for reference in references):
                continue
        elif (is_parent and not all) or wanted.dangling is False or wanted.names:
            continue
        shown.append(view.summary(image, parents.get(image.id), references))
    shown.sort(key=lambda document: (-document["Created"], _first_name(document)))
    return shown


def _first_name(document: dict[str, Any]) -> str:
    """What decides the order of images of one second, which Docker leaves to chance."""
    names = document["RepoTags"] or document["RepoDigests"]
    return f"{names[0]} {document['Id']}"
