"""``--volumes-from``: the mount points that a new container takes over from others.

Rules and messages are those of Docker 20.10 (``volumes_unix.go``). Loaded only when a container takes some over.
"""

from __future__ import annotations

from lamina.container import mounts
from lamina.container.mounts import InvalidMount
from lamina.container.parts import Parts
from lamina.typing import Any

_WORDS = frozenset(("ro", "rw", "z", "Z", "nocopy"))


def inherited(parts: Parts, texts: list[str]) -> dict[str, dict[str, Any]]:
    """Mount points by destination, of each ``<container>[:ro|:rw]`` in order.

    :raises NoSuchContainer: no such container.
    :raises InvalidMount: the mode makes no sense.
    """
    found: dict[str, dict[str, Any]] = {}
    for text in texts:
        name, _, mode = text.partition(":")
        if not name:
            raise InvalidMount(f"malformed volumes-from specification: {text}")
        words = mode.split(",") if mode else []
        if not _WORDS.issuperset(words) or len(set(words)) != len(words) or {"ro", "rw"} <= set(words):
            raise InvalidMount(f"invalid mode: {mode}")
        other = parts.store.load(parts.store.find(name))
        for destination, point in other.mount_points.items():
            if point["Type"] == mounts.VOLUME:
                parts.volumes.get(str(point["Name"]))
            taken = {**point, "RW": bool(point["RW"]) and "ro" not in words}
            taken.pop("Relabel", None)
            found[destination] = taken
    return found
