"""After a reboot, or a death of monitors: starting again what its restart policy wants to run.

There is no daemon that would do it. Which containers: those that Docker's daemon starts when it starts itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lamina.container import lifecycle
from lamina.container.parts import Parts
from lamina.container.record import Container
from lamina.container.restarting import RestartPolicy
from lamina.container.store import DamagedContainer, NoSuchContainer
from lamina.errors import LaminaError
from lamina.oci import timestamp
from lamina.typing import NamedTuple


class Restored(NamedTuple):
    """A container that was to be started; ``error`` says why it could not be."""

    container: Container
    error: LaminaError | None


def restore(parts: Parts, started_pids: Callable[[int], None]) -> Iterator[Restored]:
    """Start them, oldest first, and those that use another one's namespaces or names after all that don't.

    States are put right first: what ran when the host went down has ended.
    """
    for container in sorted(_wanted(parts), key=lambda container: (_depends(container), container.created)):
        error = None
        try:
            lifecycle.start(parts, container.id, attached=False, started_pids=started_pids)
        except NoSuchContainer:
            continue
        except LaminaError as failure:
            error = failure
        yield Restored(container, error)


def _wanted(parts: Parts) -> list[Container]:
    found = []
    for container_id in parts.store.ids():
        try:
            container = lifecycle.current(parts, container_id)
        except (NoSuchContainer, DamagedContainer):
            continue
        if not container.running and container.state["StartedAt"] != timestamp.ZERO and _is_wanted(container):
            found.append(container)
    return found


def _is_wanted(container: Container) -> bool:
    stopped = bool(container.document.get("HasBeenManuallyStopped"))
    restarts = int(container.document.get("RestartCount") or 0)
    return RestartPolicy.of(container.host_config).wants(container.exit_code, restarts, stopped=stopped)


def _depends(container: Container) -> bool:
    host_config = container.host_config
    modes = (str(host_config.get(member) or "") for member in ("NetworkMode", "IpcMode", "PidMode"))
    return bool(host_config.get("Links")) or any(mode.startswith("container:") for mode in modes)
