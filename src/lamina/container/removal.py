"""Deleting a container that does not run."""

from __future__ import annotations

from collections.abc import Callable

from lamina.container import mounts
from lamina.container.parts import Parts
from lamina.container.record import Container
from lamina.errors import Conflict, NotFound


def delete(parts: Parts, container: Container, *, volumes: bool, when_gone: Callable[[], None] | None = None) -> None:
    """The caller holds the container's lock.

    :param when_gone: called when the container does not exist any more, nor anything that is its own by a name: what
        is left to do is to free the space of its files.
    """
    with parts.layers.container_operation(container.id):
        parts.store.unpublish(container.id)
        parts.layers.discard_writable(container.id)
        if volumes:
            _remove_anonymous_volumes(parts, container)
        if when_gone is not None:
            when_gone()
        parts.run_directory(container.id).remove()  # a monitor that removes its container has one
        parts.store.forget(container.id)
    parts.layers.free()


def _remove_anonymous_volumes(parts: Parts, container: Container) -> None:
    for point in container.mount_points.values():
        # A volume without a source in its Spec was named by nobody.
        if point["Type"] != mounts.VOLUME or (point.get("Spec") or {}).get("Source"):
            continue
        users_of_volume = volume_users(parts, str(point["Name"]))
        try:
            parts.volumes.remove(str(point["Name"]), users_of_volume)
        except (NotFound, Conflict):
            continue  # gone, or another container has it too


def volume_users(parts: Parts, name: str) -> list[str]:
    """Ids of the containers that have the volume."""
    return [
        container.id
        for container in parts.store.all()
        if any(point["Type"] == mounts.VOLUME and point["Name"] == name for point in container.mount_points.values())
    ]
