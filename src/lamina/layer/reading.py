"""A layer's tar, put together again from its files: what ``save`` and ``push`` read."""

from __future__ import annotations

import os
from collections.abc import Iterator

from lamina.layer.contract import Layer
from lamina.layer.database import TAR_SPLIT
from lamina.layer.workshop import Workshop
from lamina.linux.openat2 import open_in_root
from lamina.tarball import tarsplit

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def layer_tar(workshop: Workshop, layer: Layer) -> Iterator[bytes]:
    """A layer's tar, byte for byte as it came. Raises ``Corrupt`` when its content or its tar-split has changed."""
    path = f"{workshop.database.path(layer.chain_id)}/{TAR_SPLIT}"
    root = os.open(workshop.driver.diff_path(layer.cache_id), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield from tarsplit.assemble(path, lambda name: open_in_root(root, name.lstrip(b"/"), _READ))
    finally:
        os.close(root)
