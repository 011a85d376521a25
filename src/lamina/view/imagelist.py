"""Which images a list shows: ``GET /images/json`` with its filters (``docker images``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lamina.errors import InvalidArgument
from lamina.image.contract import ImageStore, ImageSummary
from lamina.oci import timestamp
from lamina.oci.labels import match
from lamina.typing import Any
from lamina.view import image as view

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
        self.labels = filters.get("label", ())
        self.before = _time_of(images, filters, "before")
        self.since = _time_of(images, filters, "since")
        self.names = "reference" in filters
        self._patterns = []
        if self.names:
            from lamina.oci.pattern import compiled  # most lists need none

            self._patterns = [compiled(pattern) for pattern in filters["reference"]]

    def image(self, image: ImageSummary) -> bool:
        """Whether the image itself passes; names are another matter."""
        if self.before is not None and image.created >= self.before:
            return False
        if self.since is not None and image.created <= self.since:
            return False
        return not self.labels or match(image.labels or {}, {"label": self.labels})

    def of(self, names: Sequence[str]) -> Sequence[str]:
        """Those of an image's names that the patterns match, with or without the tag or digest."""
        if not self.names:
            return names
        return [name for name in names if any(self._matches(text) for text in (name, _repository(name)))]

    def _matches(self, text: str) -> bool:
        return any(pattern.match(text) for pattern in self._patterns)


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
    names = images.references.by_image()
    parents = images.parents()
    with_children = frozenset(parents.values())
    shown: list[dict[str, Any]] = []
    for image in images.summaries():
        is_parent = image.id in with_children
        if (wanted.dangling and is_parent) or not wanted.image(image):
            continue
        its_names = wanted.of(names.get(image.id, ()))
        if its_names:
            if wanted.dangling and any("@" not in name for name in its_names):
                continue
        elif (is_parent and not all) or wanted.dangling is False or wanted.names:
            continue
        shown.append(view.summary(image, parents.get(image.id), its_names))
    shown.sort(key=lambda document: (-document["Created"], _first_name(document)))
    return shown


def _first_name(document: dict[str, Any]) -> str:
    """What decides the order of images of one second, which Docker leaves to chance."""
    names = document["RepoTags"] or document["RepoDigests"]
    return f"{names[0]} {document['Id']}"


def _repository(name: str) -> str:
    """A familiar name without its tag or digest."""
    repository, at, _ = name.partition("@")
    return repository if at else name.rpartition(":")[0]
