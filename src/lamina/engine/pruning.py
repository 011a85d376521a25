"""Removing what nobody uses: containers, volumes and networks, by Docker's rules. What images have is theirs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from lamina import events
from lamina.engine import Engine
from lamina.errors import Conflict, Denied, InvalidArgument, NotFound
from lamina.oci import timestamp
from lamina.oci.labels import match
from lamina.typing import NamedTuple
from lamina.volume.usage import disk_usage

Filters = Mapping[str, Sequence[str]]


class Pruned(NamedTuple):
    """What went.

    :ivar removed: ids of containers, names of volumes and networks.
    :ivar reclaimed: bytes.
    """

    removed: list[str]
    reclaimed: int


def containers(engine: Engine, filters: Filters) -> Pruned:
    """Remove those that do not run.

    :param filters: ``until`` (a moment: only older ones), ``label`` and ``label!``.
    :raises InvalidArgument: an unknown filter, or a value that is no moment.
    """
    is_older = _checked(filters, "until")
    service = engine.container_service
    removed, space = [], 0
    for container in service.listed():
        labels = container.config.get("Labels") or {}
        if container.running or not is_older(container.created) or not match(labels, filters):
            continue
        try:
            size = service.size(container.id)
            service.remove(container.id)
        except (Conflict, NotFound):
            continue  # started or removed meanwhile
        space += size
        removed.append(container.id)
    events.pruned(engine.root, events.CONTAINER, space)
    return Pruned(removed, space)


def volumes(engine: Engine, filters: Filters) -> Pruned:
    """Remove those that no container has. ``filters``: ``label`` and ``label!``. Raises ``InvalidArgument``."""
    _checked(filters)
    removed, space = [], 0
    for volume in engine.volumes.all():
        if not match(volume.labels or {}, filters):
            continue
        size = disk_usage(volume.path)
        try:
            engine.volumes.remove(volume.name, engine.container_service.volume_users(volume.name), pruned=True)
        except (Conflict, NotFound):
            continue  # in use, or removed meanwhile
        space += size
        removed.append(volume.name)
    events.pruned(engine.root, events.VOLUME, space)
    return Pruned(removed, space)


def networks(engine: Engine, filters: Filters) -> Pruned:
    """Remove those that no container is on, but never Docker's own, nor settings for others.

    ``filters`` as for :func:`containers`.
    """
    is_older = _checked(filters, "until")
    removed = []
    for network in engine.networks.all():
        if (
            network.predefined
            or network.config_only
            or not is_older(network.created)
            or not match(network.labels, filters)
        ):
            continue
        try:
            engine.networks.remove(network.id)
        except (Denied, NotFound):
            continue  # in use, or removed meanwhile
        removed.append(network.name)
    engine.networks.tidy()
    events.pruned(engine.root, events.NETWORK, 0)
    return Pruned(removed, 0)


def _checked(filters: Filters, *others: str) -> Callable[[str], bool]:
    """Whether something that was created at a time is older than every ``until``."""
    for name in filters:
        if name not in ("label", "label!", *others):
            raise InvalidArgument(f"Invalid filter '{name}'")
    limits = [timestamp.moment(text) for text in filters.get("until", ())]
    return lambda created: all(timestamp.nanoseconds(created) <= limit for limit in limits)
