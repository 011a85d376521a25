"""Removing a container whose files can't be understood, as a power cut leaves what nobody waited for to be on disk."""

from __future__ import annotations

from lamina.container import lifecycle, removal
from lamina.container.ending import KILL_SECONDS, WillNotDie
from lamina.container.parts import Parts
from lamina.container.record import Container


def remove(parts: Parts, container_id: str, *, volumes: bool) -> Container:
    """Delete it with all that is its own; what could be read of it.

    Anonymous volumes go with ``volumes`` when ``config.v2.json`` still names them.

    :raises NoSuchContainer: there is none.
    """
    parts.root.require_writable()
    run = parts.run_directory(container_id)
    if run.alive():  # its monitor ends when what it watches does, whatever it can write down about that
        run.cancel()
        parts.runtime().delete(container_id, run.path)
        if not run.wait(KILL_SECONDS)[0]:
            raise WillNotDie(container_id)
    with parts.store.lock(container_id):
        container = parts.store.remains(container_id)
        lifecycle.clean_up(parts, container, run)
        removal.delete(parts, container, volumes=volumes)
    return container
