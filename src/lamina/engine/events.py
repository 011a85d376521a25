"""What happened on a data root: the journal of :mod:`lamina.events`, read, followed and filtered as dockerd does."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from lamina import json
from lamina.dataroot import DataRoot
from lamina.events import CURRENT, IMAGE, OLDER, Event
from lamina.reference import InvalidReference, parse

_BLOCK = 64 << 10
_POLL = 0.05

#: Filters that are the beginning of an actor's ID or name, whatever its type.
_NAMED = ("daemon", "container", "plugin", "volume", "network", "node", "service", "secret", "config")
#: Actions that are followed by what was done.
_LONG_ACTIONS = frozenset(("health_status", "exec_create", "exec_start"))

Filters = Mapping[str, Sequence[str]]


def read(
    root: DataRoot,
    *,
    since: int | None = None,
    until: int | None = None,
    filters: Filters | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> Iterator[Event]:
    """Events in order: from ``since`` until ``until``, or for ever.

    :param since: nanoseconds since 1970; ``None`` for what comes from now on, or for all there is when there is an end.
    :param filters: see :func:`matches`.
    :param stopped: asked from time to time; once it says yes this ends.
    """
    begin = since if since is not None else 0 if until is not None else time.time_ns()
    for event in _chosen(_lines(root, stopped, until), begin, until):
        if matches(event, filters or {}):
            yield event


def _lines(root: DataRoot, stopped: Callable[[], bool], until: int | None) -> Iterator[bytes]:
    older, current = _open_both(root)
    try:
        if older >= 0:
            yield from _all_of(older)
        pending = b""
        renamed = False
        while True:
            over = stopped() or (until is not None and time.time_ns() > until)
            if current < 0:
                current = _open(root.sub(CURRENT))
            block = os.read(current, _BLOCK) if current >= 0 else b""
            if block:
                *lines, pending = (pending + block).split(b"\n")
                yield from lines
            elif renamed:
                os.close(current)
                current, renamed = _open(root.sub(CURRENT)), False
                pending = b""  # a line that was cut short does not go on in the next file
            elif current >= 0 and _was_renamed(root, current):
                renamed = True
                time.sleep(_POLL)  # whoever had it open may still be writing
            elif over:
                return
            else:
                time.sleep(_POLL)
    finally:
        for descriptor in (older, current):
            if descriptor >= 0:
                os.close(descriptor)


def _open_both(root: DataRoot) -> tuple[int, int]:
    """Descriptors of the two files, -1 for one that is not there."""
    while True:
        current = _open(root.sub(CURRENT))
        older = _open(root.sub(OLDER))
        if current < 0 or older < 0 or os.fstat(current).st_ino != os.fstat(older).st_ino:
            return older, current
        os.close(current)  # it became the older one between the two calls
        os.close(older)


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return -1


def _all_of(descriptor: int) -> list[bytes]:
    with open(descriptor, "rb", closefd=False) as file:
        return file.read().split(b"\n")


def _was_renamed(root: DataRoot, descriptor: int) -> bool:
    try:
        return os.stat(root.sub(CURRENT)).st_ino != os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False  # nobody has written since


def _chosen(lines: Iterator[bytes], begin: int, until: int | None) -> Iterator[Event]:
    """Events of a time."""
    for line in lines:
        event = _parsed(line)
        if event is not None and event["timeNano"] >= begin and (until is None or event["timeNano"] <= until):
            yield event


def _parsed(line: bytes) -> Event | None:
    """``None`` for what is no event: cut short by a crash, or damaged."""
    try:
        event: Event = json.loads(line)
        actor = event["Actor"]
        texts = (event["Type"], event["Action"], event["scope"], actor["ID"], *actor["Attributes"].values())
        is_whole = isinstance(event["timeNano"], int) and all(isinstance(text, str) for text in texts)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return event if is_whole else None


def matches(event: Event, filters: Filters) -> bool:
    """Whether every filter lets the event through, by moby's rules (``daemon/events/filter.go``).

    ``type``, ``scope`` and ``event`` are whole words, ``image`` a name with or without its tag; ``label`` is an
    attribute, with or without its value, and all of several must be there; the others are the beginning of an ID or a
    name, of whatever the event is about. One of several values suffices but for labels. Unknown filters change nothing.
    """
    actor = event["Actor"]
    id, attributes = actor["ID"], actor["Attributes"]

    def has(name: str, *texts: str) -> bool:
        return name not in filters or any(text in filters[name] for text in texts)

    def begins(name: str, *texts: str) -> bool:
        return name not in filters or any(text.startswith(value) for value in filters[name] for text in texts)

    action = begins if _LONG_ACTIONS.intersection(filters.get("event", ())) else has
    image = attributes.get("name" if event["Type"] == IMAGE else "image", "")
    return (
        action("event", event["Action"])
        and has("type", event["Type"])
        and has("scope", event["scope"])
        and all(begins(name, id, attributes.get("name", "")) for name in _NAMED if name in filters)
        and ("image" not in filters or has("image", id, image, _repository(id), _repository(image)))
        and all(_has_label(attributes, value) for value in filters.get("label", ()))
    )


def _repository(name: str) -> str:
    try:
        return parse(name).familiar_name
    except InvalidReference:
        return name


def _has_label(attributes: Mapping[str, str], value: str) -> bool:
    name, equals, text = value.partition("=")
    return name in attributes and (not equals or attributes[name] == text)
