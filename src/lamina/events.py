"""What happened to containers, images, volumes, networks: a journal below the data root that every process appends to.

One JSON document a line, as the Engine API's ``GET /events`` has it. A line is one ``write`` to a file that is open for
appending, so lines of several processes do not mix. The file is bounded: at a megabyte it becomes the older one.
:mod:`lamina.engine.events` reads it. What is told is told by whoever changes something, not by whoever asked for it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

from lamina import json
from lamina.contextlib import suppress
from lamina.dataroot import DataRoot
from lamina.errors import LaminaError
from lamina.typing import Any, NamedTuple, Protocol

#: The two files, relative to the data root.
CURRENT, OLDER = "lamina/events", "lamina/events.1"
_LIMIT = 1 << 20

CONTAINER, IMAGE, VOLUME, NETWORK, BUILDER = "container", "image", "volume", "network", "builder"

Event = dict[str, Any]


class Actor(NamedTuple):
    """What something happened to.

    :ivar type: one of the five above.
    """

    type: str
    id: str
    attributes: Mapping[str, str]


class Record(Protocol):
    """A container, as far as its events care."""

    @property
    def id(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def image_id(self) -> str: ...

    @property
    def config(self) -> dict[str, Any]: ...


def note(root: DataRoot, container: Record, action: str, attributes: Mapping[str, str] | None = None) -> None:
    """Append an event of a container."""
    image = container.config.get("Image") or container.image_id
    labels = container.config.get("Labels") or {}
    told = {**labels, "image": image, "name": container.name, **(attributes or {})}
    tell(root, Actor(CONTAINER, container.id, told), action, source=image)


class Teller(Protocol):
    """Appends events of one container."""

    def __call__(self, action: str, attributes: Mapping[str, str] | None = None, /) -> None: ...


def teller(root: DataRoot, container: Record) -> Teller:
    """:func:`note` for those who do not know the root or the container."""

    def tell(action: str, attributes: Mapping[str, str] | None = None, /) -> None:
        note(root, container, action, attributes)

    return tell


def pruned(root: DataRoot, type: str, reclaimed: int) -> None:
    """Append that what nobody used was removed. ``reclaimed``: bytes."""
    tell(root, Actor(type, "", {"reclaimed": str(reclaimed)}), "prune")


def tell(root: DataRoot, actor: Actor, action: str, *, source: str = "") -> None:
    """Append one event. A journal that can't be written costs the event, nothing else."""
    now = time.time_ns()
    event: Event = {}
    if actor.type in (CONTAINER, IMAGE):  # members of Docker's first events
        event = {"status": action, **({"id": actor.id} if actor.id else {}), **({"from": source} if source else {})}
    event |= {
        "Type": actor.type,
        "Action": action,
        "Actor": {"ID": actor.id, "Attributes": dict(sorted(actor.attributes.items()))},
        "scope": "local",
        "time": now // 10**9,
        "timeNano": now,
    }
    with suppress(OSError, LaminaError):
        _append(root, json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode(errors="replace") + b"\n")


def _append(root: DataRoot, line: bytes) -> None:
    path = root.sub(CURRENT)
    try:
        descriptor = _open(path)
    except FileNotFoundError:
        root.require_writable()  # a dockerd's own root gets no directory of ours
        os.makedirs(root.sub("lamina"), 0o700, exist_ok=True)
        descriptor = _open(path)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            line = b"\n" + line  # the disk was full, or the machine stopped, in the middle of the last one
        os.write(descriptor, line)
    finally:
        os.close(descriptor)
    if size + len(line) > _LIMIT:
        with root.lock("events"):
            if os.stat(path).st_size > _LIMIT:  # else another process was faster
                os.rename(path, root.sub(OLDER))


def _open(path: str) -> int:
    return os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
