"""What happened to containers, images, volumes, networks: a journal below the data root that every process appends to.

One JSON document a line, as the Engine API's ``GET /events`` has it. A line is one ``write`` to a file that is open for
appending, so lines of several processes do not mix. The file is bounded: at a megabyte it becomes the older one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress

from lamina import json
from lamina.container.record import Container
from lamina.dataroot import DataRoot
from lamina.typing import Any, NamedTuple

_NAME, _OLDER = "lamina/events", "lamina/events.1"
_LIMIT = 1 << 20
_BLOCK = 64 << 10
_POLL = 0.05

Event = dict[str, Any]


def note(root: DataRoot, container: Container, action: str, attributes: Mapping[str, str] | None = None) -> None:
    """Append an event of a container."""
    image = container.config.get("Image") or container.image_id
    labels = container.config.get("Labels") or {}
    told = {**labels, "image": image, "name": container.name, **(attributes or {})}
    tell(root, Actor("container", container.id, told), action, source=image)


class Actor(NamedTuple):
    """What something happened to.

    :ivar type: ``container``, ``image``, ``volume`` or ``network``.
    """

    type: str
    id: str
    attributes: Mapping[str, str]


def tell(root: DataRoot, actor: Actor, action: str, *, source: str = "") -> None:
    """Append one event. A journal that can't be written costs the event, nothing else."""
    now = time.time_ns()
    event: Event = {}
    if actor.type in ("container", "image"):  # members of Docker's first events
        event = {"status": action, "id": actor.id, **({"from": source} if source else {})}
    event |= {
        "Type": actor.type,
        "Action": action,
        "Actor": {"ID": actor.id, "Attributes": dict(sorted(actor.attributes.items()))},
        "scope": "local",
        "time": now // 10**9,
        "timeNano": now,
    }
    with suppress(OSError):
        os.makedirs(root.sub("lamina"), 0o700, exist_ok=True)
        _append(root, json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")


def _append(root: DataRoot, line: bytes) -> None:
    path = root.sub(_NAME)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        os.write(descriptor, line)
        full = os.fstat(descriptor).st_size > _LIMIT
    finally:
        os.close(descriptor)
    if full:
        with root.lock("events"):
            if os.stat(path).st_size > _LIMIT:  # else another process was faster
                os.rename(path, root.sub(_OLDER))


def read(root: DataRoot, *, since: int | None, until: int | None, stopped: Callable[[], bool]) -> Iterator[Event]:
    """Events in order; those that come until the time ``until``, or for ever.

    :param since: nanoseconds since 1970; ``None`` for what comes from now on.
    :param stopped: asked from time to time; once it says yes this ends.
    """
    begin = time.time_ns() if since is None else since
    current = _open(root.sub(_NAME))
    try:
        if since is not None:
            yield from _within(_lines(root.sub(_OLDER)), begin, until)
        pending = b""
        while True:
            over = stopped() or (until is not None and time.time_ns() > until)
            if current < 0:
                current = _open(root.sub(_NAME))
            block = os.read(current, _BLOCK) if current >= 0 else b""
            if block:
                *lines, pending = (pending + block).split(b"\n")
                yield from _within(lines, begin, until)
            elif current >= 0 and _was_renamed(root, current):
                os.close(current)
                current = _open(root.sub(_NAME))
            elif over:
                return
            else:
                time.sleep(_POLL)
    finally:
        if current >= 0:
            os.close(current)


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return -1


def _lines(path: str) -> list[bytes]:
    try:
        with open(path, "rb") as file:
            return file.read().split(b"\n")
    except FileNotFoundError:
        return []


def _was_renamed(root: DataRoot, descriptor: int) -> bool:
    try:
        return os.stat(root.sub(_NAME)).st_ino != os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False  # nobody has written since


def _within(lines: list[bytes], begin: int, until: int | None) -> Iterator[Event]:
    for line in lines:
        try:
            event: Event = json.loads(line)
            moment = event["timeNano"]
        except (ValueError, KeyError, TypeError):
            continue
        if moment >= begin and (until is None or moment <= until):
            yield event
