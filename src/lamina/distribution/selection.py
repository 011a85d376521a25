"""Which images ``docker save NAME...`` means, and under which names they are saved."""

from __future__ import annotations

from collections.abc import Sequence

from lamina.digest import ImageID, InvalidDigest
from lamina.errors import InvalidArgument, NotFound
from lamina.image.contract import Image, ImageStore
from lamina.reference import Reference, parse
from lamina.typing import NamedTuple


class UnknownReference(NotFound):
    """A name with a tag or digest that no image has."""

    def __init__(self) -> None:
        super().__init__("reference does not exist")


class Selected(NamedTuple):
    """One image to save and the tags to save with it, in the order in which they were asked for."""

    image: Image
    references: list[Reference]


def select(texts: Sequence[str], images: ImageStore) -> list[Selected]:
    """The images that ``texts`` name, each once, in the order of their first mention.

    A name without a tag means all tags of its repository, or an ID (or the start of one) when there is no such
    repository. A tag names itself only; an ID brings no names. Raises :class:`UnknownReference`, ``NotFound``,
    ``InvalidReference``.
    """
    if not texts:
        raise InvalidArgument("no images were named: give at least one name or ID")
    chosen: dict[ImageID, Selected] = {}
    for text in texts:
        for image, reference in _meant(text, images):
            selected = chosen.setdefault(image.id, Selected(image, []))
            if reference is not None and reference.digest is None and reference not in selected.references:
                selected.references.append(reference)
    return list(chosen.values())


def _meant(text: str, images: ImageStore) -> list[tuple[Image, Reference | None]]:
    if (full := _full_id(text)) is not None:
        return [(images.get(full), None)]
    reference = parse(text)
    if reference.familiar_name == "sha256":
        return [(_by_id(text, images), None)]
    if reference.tag is None and reference.digest is None:
        tagged = [pair for pair in images.references.all().items() if pair[0].name == reference.name]
        if tagged:
            return [(images.get(owner), other) for other, owner in sorted(tagged, key=lambda pair: str(pair[0]))]
        return [(_by_id(text, images), None)]
    try:
        return [(images.get(images.references.get(reference)), reference)]
    except NotFound:
        raise UnknownReference from None


def _by_id(text: str, images: ImageStore) -> Image:
    try:
        return images.resolve(text)
    except NotFound:
        raise NotFound(f"No such image: {text}") from None  # as it was typed, without a tag that nobody typed


def _full_id(text: str) -> ImageID | None:
    try:
        return ImageID(text if ":" in text else f"sha256:{text}")
    except InvalidDigest:
        return None
