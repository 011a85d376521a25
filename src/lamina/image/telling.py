"""Events of images, with Docker's attributes: the image's labels, and its name where something was done by name."""

from __future__ import annotations

from collections.abc import Mapping

from lamina import events
from lamina.dataroot import DataRoot
from lamina.errors import LaminaError
from lamina.image.contract import Image, ImageStore
from lamina.reference import Reference


def by_id(root: DataRoot, image: Image, action: str, *, name: str = "") -> None:
    """``action`` was done to ``image``. ``name``: the one that it concerns; its ID by default."""
    _tell(root, str(image.id), name or str(image.id), image.config.config.get("Labels"), action)


def deleted(root: DataRoot, image: Image) -> None:
    """It is gone, and Docker does not know its labels any more."""
    _tell(root, str(image.id), str(image.id), None, "delete")


def by_name(root: DataRoot, images: ImageStore, reference: Reference, action: str) -> None:
    """``reference`` was pulled or pushed; without a tag where that concerned all of them."""
    try:
        labels = images.resolve(reference.familiar).config.config.get("Labels")
    except LaminaError:  # no tag "latest" among them, or it is gone already
        labels = None
    _tell(root, reference.familiar, reference.familiar_name, labels, action)


def _tell(root: DataRoot, id: str, name: str, labels: Mapping[str, str] | None, action: str) -> None:
    events.tell(root, events.Actor(events.IMAGE, id, {**(labels or {}), "name": name}), action)
