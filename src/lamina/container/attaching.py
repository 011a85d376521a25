"""Another connection to a container that runs already."""

from __future__ import annotations

from lamina import events
from lamina.container import frames
from lamina.container.attachment import Attachment, MonitorLost
from lamina.container.lifecycle import current
from lamina.container.parts import Parts
from lamina.container.states import NotRunning
from lamina.contextlib import suppress


def attach(parts: Parts, container_id: str, *, stdin: bool) -> Attachment:
    """A connection to a running container, besides those of others.

    :param stdin: whether the end of what this client has to say may be the end of the container's input.
    :raises NotRunning:
    """
    tell = events.teller(parts.root, parts.store.load(container_id))
    connection = Attachment(_connect(parts, container_id), tell)
    try:
        connection.send(frames.ATTACH if stdin else frames.ATTACH_OUTPUT)
        connection.wait_until_started()
    except MonitorLost:
        connection.close()
        raise NotRunning(container_id) from None
    except BaseException:
        connection.close()
        raise
    tell("attach")
    return connection


def _connect(parts: Parts, container_id: str) -> int:
    if current(parts, container_id).running:
        with suppress(OSError):
            return frames.connect(parts.run_directory(container_id).path)
    raise NotRunning(container_id)
