"""Descriptors: type, digest and size of content that is elsewhere (image-spec, ``descriptor.md``)."""

from __future__ import annotations

from lamina.digest import Digest, InvalidDigest
from lamina.oci.document import InvalidDocument, member
from lamina.oci.platform import Platform
from lamina.typing import Any, NamedTuple

#: A size beyond this is an attack or a mistake, not an image: 1 PiB.
_SIZE_LIMIT = 1 << 50


class Descriptor(NamedTuple):
    """What one content is. ``platform`` only in an index, ``urls`` only for foreign layers."""

    media_type: str
    digest: Digest
    size: int
    urls: tuple[str, ...] = ()
    platform: Platform | None = None
    annotations: tuple[tuple[str, str], ...] = ()
    data: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The JSON object, members in the order that Go's encoder writes them."""
        out: dict[str, Any] = {"mediaType": self.media_type, "digest": str(self.digest), "size": self.size}
        if self.urls:
            out["urls"] = list(self.urls)
        if self.annotations:
            out["annotations"] = dict(self.annotations)
        if self.data is not None:
            out["data"] = self.data
        if self.platform is not None:
            out["platform"] = self.platform.to_json()
        return out


def parse(value: object, what: str) -> Descriptor:
    """A descriptor from parsed JSON. Raises :class:`InvalidDocument`."""
    if not isinstance(value, dict):
        raise InvalidDocument(f"{what}: a descriptor is not an object")
    size = member(value, "size", int, what, -1)
    if not 0 <= size <= _SIZE_LIMIT:
        raise InvalidDocument(f"{what}: descriptor has size {size}")
    text = member(value, "digest", str, what, "")
    try:
        digest = Digest(text)
    except InvalidDigest as error:
        raise InvalidDocument(f"{what}: {error}: {text!r}") from error
    urls = member(value, "urls", list, what, [])
    annotations = member(value, "annotations", dict, what, {})
    if not all(isinstance(url, str) for url in urls) or not all(isinstance(v, str) for v in annotations.values()):
        raise InvalidDocument(f"{what}: descriptor has members of a wrong type")
    platform = value.get("platform")
    return Descriptor(
        member(value, "mediaType", str, what, ""),
        digest,
        size,
        tuple(urls),
        Platform.parse(platform, what) if platform is not None else None,
        tuple(annotations.items()),
        member(value, "data", str, what),
    )
