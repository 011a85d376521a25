"""Volumes as the Engine API's documents."""

from __future__ import annotations

from lamina.typing import Any
from lamina.volume.store import Volume


def inspect(volume: Volume) -> dict[str, Any]:
    """``GET /volumes/{name}``."""
    return {
        "CreatedAt": volume.created,
        "Driver": "local",
        "Labels": volume.labels,
        "Mountpoint": volume.path,
        "Name": volume.name,
        "Options": volume.options,
        "Scope": "local",
    }
