"""``--link``: other containers that a container on the default network finds under names of its own.

A record has a link as ``<id>:<alias>`` in ``HostConfig.Links``, or with a name in place of the id where a dockerd wrote
it. Docker shows ``/name:/container/alias``, and takes ``container/alias`` for a name of the other container.
"""

from __future__ import annotations

from collections.abc import Sequence

from lamina.container import networking
from lamina.container.lifecycle import reconcile
from lamina.container.parts import Parts
from lamina.container.record import Container
from lamina.container.store import ContainerStore, NoSuchContainer
from lamina.errors import SystemFailure


def linked(store: ContainerStore, container: Container) -> list[tuple[Container, str]]:
    """The containers that its links lead to, with the aliases. Those that are gone are left out."""
    found = []
    for text in container.host_config.get("Links") or ():
        name, _, alias = str(text).partition(":")
        try:
            found.append((store.load(store.find(name)), alias))
        except NoSuchContainer:
            continue
    return found


def shown(store: ContainerStore, container: Container) -> list[str] | None:
    """``HostConfig.Links`` of ``inspect``."""
    return [f"/{other.name}:/{container.name}/{alias}" for other, alias in linked(store, container)] or None


def names(store: ContainerStore, containers: Sequence[Container]) -> dict[str, list[str]]:
    """Names that containers have by the links of ``containers``, by their ids: ``/web/database``."""
    found: dict[str, list[str]] = {}
    for container in containers:
        if container.host_config.get("Links"):
            for other, alias in linked(store, container):
                found.setdefault(other.id, []).append(f"/{container.name}/{alias}")
    return found


def find(store: ContainerStore, text: str) -> str:
    """Id of the container that ``container/alias`` means. Raises :class:`NoSuchContainer`."""
    above, _, alias = text.strip("/").rpartition("/")
    owner = store.named(above)
    if owner is not None:
        for other, name in linked(store, store.load(owner)):
            if name == alias:
                return other.id
    raise NoSuchContainer(text)


def unlink(parts: Parts, text: str) -> None:
    """``docker rm --link``: take the link away; the container that has it does not know the other one any more.

    :raises NoSuchContainer: nothing has that name. :raises SystemFailure: it is a container's own.
    """
    other = parts.store.find(text)
    above, _, alias = text.strip("/").rpartition("/")
    owner = parts.store.named(above) if above else None
    if owner is None:
        raise SystemFailure("Conflict, cannot remove the default link name of the container")
    with parts.store.lock(owner):
        container = reconcile(parts, parts.store.load(owner))
        links = container.host_config.get("Links") or ()
        container.host_config["Links"] = [one for one in links if not _leads(parts.store, one, other, alias)] or None
        parts.store.save_host_config(container)
        if container.running and networking.is_bridged(container):
            networking.write_files(parts, container, parts.networks.endpoints_of(container.id))


def _leads(store: ContainerStore, link: str, other: str, alias: str) -> bool:
    name, _, own = link.partition(":")
    try:
        return own == alias and store.find(name) == other
    except NoSuchContainer:
        return False
