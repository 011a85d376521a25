"""What a container's state forbids, in Docker's words."""

from lamina.container.record import PAUSED, RESTARTING, Container
from lamina.errors import Conflict


class NotRunning(Conflict):
    """Only a running container can be signalled, paused, entered."""

    def __init__(self, container_id: str) -> None:
        super().__init__(f"Container {container_id} is not running")


class IsPaused(Conflict):
    """A paused container can't be entered, nor attached to, nor paused again."""


class NotPaused(Conflict):
    """Only a paused container can be unpaused."""

    def __init__(self, container_id: str) -> None:
        super().__init__(f"Container {container_id} is not paused")


class IsRestarting(Conflict):
    """Between the end of a run and the next start there is nothing to enter or to attach to."""

    def __init__(self, container_id: str) -> None:
        super().__init__(f"Container {container_id} is restarting, wait until the container is running")


def require_enterable(container: Container, name: str) -> None:
    """Whether a process may be added to it. Raises one of the above.

    :param name: what the caller calls it, for the message.
    """
    if not container.running:
        raise NotRunning(container.id)
    if container.status == PAUSED:
        raise IsPaused(f"Container {name} is paused, unpause the container before exec")
    if container.status == RESTARTING:
        raise IsRestarting(container.id)
