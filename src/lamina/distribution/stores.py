"""What every way in or out of an image works on."""

from __future__ import annotations

from lamina.dataroot import DataRoot
from lamina.image.contract import ImageStore
from lamina.layer.contract import LayerStore
from lamina.typing import NamedTuple


class Stores(NamedTuple):
    """One data root and the two stores on it."""

    root: DataRoot
    layers: LayerStore
    images: ImageStore
