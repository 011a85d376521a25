"""Layers that no image needs and that stay nevertheless, because the build cache names them."""

from __future__ import annotations

from lamina import json
from lamina.dataroot import DataRoot
from lamina.digest import ChainID, InvalidDigest
from lamina.layer.database import list_directory

#: Directory of the build cache's records below the data root; see :mod:`lamina.builder.cache`.
STEPS = "lamina/build-cache/steps"
_LIMIT = 4 << 20


def cached_layers(root: DataRoot) -> set[ChainID]:
    """Tops of the stacks that the build cache names. A record that can't be read keeps nothing."""
    found: set[ChainID] = set()
    directory = root.sub(STEPS)
    for name in list_directory(directory):
        try:
            with open(f"{directory}/{name}", "rb") as file:
                chain = json.loads(file.read(_LIMIT))["chain"]
            if chain is not None:
                found.add(ChainID(chain))
        except (OSError, ValueError, KeyError, TypeError, InvalidDigest, RecursionError):
            continue
    return found
