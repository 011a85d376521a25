"""Stopping all processes of a container where they are, and letting them go on."""

from __future__ import annotations

from lamina import events
from lamina.container import controlgroup
from lamina.container.lifecycle import current
from lamina.container.parts import Parts
from lamina.container.record import PAUSED, RESTARTING, Container
from lamina.container.states import IsPaused, IsRestarting, NotPaused, NotRunning
from lamina.contextlib import suppress
from lamina.errors import SystemFailure
from lamina.runtime import cgroup


def pause(parts: Parts, container_id: str) -> None:
    """Stop all its processes where they are.

    :raises NotRunning: :raises IsPaused: :raises IsRestarting: with Docker's messages.
    """
    current(parts, container_id)
    with parts.store.lock(container_id):
        container = parts.store.load(container_id)
        if not container.running:
            raise NotRunning(container_id)
        if container.status == PAUSED:
            raise IsPaused(f"Container {container_id} is already paused")
        if container.status == RESTARTING:
            raise IsRestarting(container_id)
        cgroup.freeze(controlgroup.of(container))
        container.state["Paused"] = True
        parts.store.save(container)
    events.note(parts.root, container, "pause")


def unpause(parts: Parts, container_id: str) -> None:
    """Let its processes go on. Raises :class:`NotPaused`."""
    current(parts, container_id)
    with parts.store.lock(container_id):
        container = parts.store.load(container_id)
        if container.status != PAUSED:
            raise NotPaused(container_id)
        thaw(parts, container)


def thaw(parts: Parts, container: Container) -> None:
    """The same for a caller who holds the container's lock and knows that it is paused."""
    with suppress(SystemFailure):  # with its last process gone the group goes, too
        cgroup.thaw(controlgroup.of(container))
    container.state["Paused"] = False
    parts.store.save(container)
    events.note(parts.root, container, "unpause")
