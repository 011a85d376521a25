"""Which containers a list shows: ``--filter``, ``--last``, ``--all`` (Docker 20.10's rules and messages)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from lamina.container.record import Container
from lamina.errors import InvalidArgument, NotFound
from lamina.oci import timestamp

Filters = Mapping[str, Sequence[str]]
_STATES = frozenset(("created", "restarting", "running", "removing", "paused", "exited", "dead"))
_HEALTH = frozenset(("none", "starting", "healthy", "unhealthy"))
_LAST_PORT = 65535
_IMAGES = ("ancestor", "is-task", "isolation")
_TIMES = ("before", "since", "exited", "status", "health")
_KNOWN = frozenset((*_IMAGES, *_TIMES, "expose", "id", "label", "name", "network", "publish", "volume"))


class InvalidFilter(InvalidArgument):
    """The list has no such filter, or not with that value."""

    def __init__(self, text: str) -> None:
        super().__init__(f"Invalid filter '{text}'")


def select(
    containers: Sequence[Container],
    filters: Filters,
    *,
    all: bool = False,
    last: int = 0,
    ancestors: Callable[[str], frozenset[str]] = lambda text: frozenset((text,)),
) -> list[Container]:
    """Those of ``containers`` (newest first) that a list shows.

    :param last: how many of the newest, whatever their state; 0 for no limit.
    :param ancestors: ids of an image and of all images below it.
    """
    for name in filters:
        if name not in _KNOWN:
            raise InvalidFilter(name)
    for status in filters.get("status", ()):
        if status not in _STATES:
            raise InvalidFilter(f"status={status}")
    for health in filters.get("health", ()):
        if health not in _HEALTH:
            raise InvalidArgument(f"Unrecognised filter value for health: {health}")
    tasks = _is_task(filters.get("is-task", ()))
    every = all or last > 0 or bool(filters.get("status"))
    found = [] if tasks else [one for one in _between(containers, filters) if every or one.running]
    found = [one for one in found if _matches(one, filters, ancestors)]
    return found[:last] if last > 0 else found


def _is_task(values: Sequence[str]) -> bool:
    """Whether containers of a swarm are wanted, of which there are none."""
    if not set(values) <= {"true", "1", "false", "0"} or len(set(values)) > 1:
        raise InvalidFilter(f"is-task=[{' '.join(values)}]")
    return bool({"true", "1"} & set(values))


def _between(containers: Sequence[Container], filters: Filters) -> list[Container]:
    """``before`` and ``since`` name containers; the named ones are not shown."""
    found = list(containers)
    for text in filters.get("before", ()):
        limit = timestamp.nanoseconds(_named(containers, text).created)
        found = [one for one in found if timestamp.nanoseconds(one.created) < limit]
    for text in filters.get("since", ()):
        limit = timestamp.nanoseconds(_named(containers, text).created)
        found = [one for one in found if timestamp.nanoseconds(one.created) > limit]
    return found


def _named(containers: Sequence[Container], text: str) -> Container:
    for one in containers:
        if text in (one.id, one.name) or one.id.startswith(text):
            return one
    raise NotFound(f"no such container {text}")


def _matches(container: Container, filters: Filters, ancestors: Callable[[str], frozenset[str]]) -> bool:
    tests: dict[str, Callable[[str], bool]] = {
        "status": lambda value: value == container.status,
        "exited": lambda value: _exit_code(value) == container.exit_code and container.status == "exited",
        "id": lambda value: container.id.startswith(value) or _search(value, container.id),
        "name": lambda value: _search(value, f"/{container.name}") or _search(value, container.name),
        "network": lambda value: value in (container.document.get("NetworkSettings") or {}).get("Networks", {}),
        "volume": lambda value: _has_volume(container, value),
        "health": lambda value: value == ((container.state.get("Health") or {}).get("Status") or "none"),
        "ancestor": lambda value: container.image_id in ancestors(value) or container.config.get("Image") == value,
    }
    for name, test in tests.items():
        values = filters.get(name)
        if values and not any(test(value) for value in values):
            return False
    for name in ("publish", "expose"):
        if filters.get(name) and not any(_has_port(container, name, value) for value in filters[name]):
            return False
    return all(_has_label(container, value) for value in filters.get("label", ()))


def _exit_code(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise InvalidArgument(f'strconv.Atoi: parsing "{text}": invalid syntax') from None


def _search(pattern: str, text: str) -> bool:
    try:
        return re.search(pattern, text) is not None
    except re.error:
        return pattern == text


def _has_volume(container: Container, value: str) -> bool:
    return any(value in (point.get("Name"), destination) for destination, point in container.mount_points.items())


def _has_port(container: Container, kind: str, value: str) -> bool:
    """Whether a port (``80``, ``80/udp``, ``80-90``) is published, or exposed."""
    numbers, _, protocol = value.partition("/")
    first, dash, last = numbers.partition("-")
    wanted = range(_port(kind, value, first), _port(kind, value, last if dash else first) + 1)
    for text, places in ((container.document.get("NetworkSettings") or {}).get("Ports") or {}).items():
        number, _, known = text.partition("/")
        if known != (protocol or "tcp"):
            continue
        ports = [int(number)] if kind == "expose" else [int(place["HostPort"]) for place in places or ()]
        if any(port in wanted for port in ports):
            return True
    return False


def _port(kind: str, value: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        reason = f'parsing "{text}": invalid syntax'
    elif int(text) > _LAST_PORT:
        reason = f'parsing "{text}": value out of range'
    else:
        return int(text)
    raise InvalidArgument(f"error while looking up for {kind} {value}: strconv.ParseUint: {reason}")


def _has_label(container: Container, wanted: str) -> bool:
    labels = container.config.get("Labels") or {}
    name, equals, value = wanted.partition("=")
    return name in labels and (not equals or labels[name] == value)
