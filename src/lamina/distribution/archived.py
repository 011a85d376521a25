"""What an image archive says it holds, in whatever format it says it."""

from __future__ import annotations

from lamina.digest import Digest, ImageID
from lamina.oci.image import ImageConfig
from lamina.reference import Reference
from lamina.typing import NamedTuple


class LayerContent(NamedTuple):
    """Where a layer's tar, plain or compressed, lies.

    :ivar name: in the archive.
    :ivar digest: of the bytes there, and ``size`` their number, where the archive states it.
    """

    name: str
    digest: Digest | None = None
    size: int | None = None


class ArchivedImage(NamedTuple):
    """One image. ``layers`` are as many as ``config.diff_ids``, bottom first."""

    config: ImageConfig
    layers: list[LayerContent]
    references: list[Reference]
    parent: ImageID | None = None
