"""Starting a container, and putting its state right after a crash."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lamina import events
from lamina.container import controlgroup, networking, rare, removal
from lamina.container.attachment import Attachment, MonitorLost
from lamina.container.parts import Parts
from lamina.container.record import Container
from lamina.container.rundirectory import RunDirectory
from lamina.container.standby import Standby
from lamina.container.store import NoSuchContainer
from lamina.contextlib import contextmanager
from lamina.layer.database import DamagedLayer, MountNotFound
from lamina.runtime import cgroup

#: What a container that nobody watched to its end has, as after a crash of dockerd.
LOST = 255
#: Exit code in the state of a container that could not be started for a reason of the engine's own.
NOT_STARTED = 128
_MOMENT = 0.05


def start(
    parts: Parts,
    container_id: str,
    *,
    attached: bool,
    started_pids: Callable[[int], None],
    standby: Standby | None = None,
) -> Attachment | None:
    """Start a container; ``None`` when it runs already. Returns when its program has been executed.

    :param attached: whether the caller wants to exchange bytes with it; else the attachment is closed.
    :param started_pids: told the monitor's pid, which the caller must reap when it lives on.
    :param standby: what becomes its monitor; by default one that is made here.
    :raises StartFailed: with the exit code of ``run``.
    """
    parts.root.require_writable()
    container = parts.store.load(container_id)
    with standby or Standby(parts, load_first=True) as monitor:
        started_pids(monitor.pid)
        attachment = Attachment(monitor.begin(container_id, attached=attached), events.teller(parts.root, container))
        try:
            runs_already = not attachment.wait_until_started()
        except MonitorLost as error:  # it has undone nothing, and written nothing down
            attachment.close()
            with held(parts, container_id) as container:
                container.set_failed(NOT_STARTED, str(error))
                parts.store.save(container)
            raise
        except BaseException:
            attachment.close()
            raise
    if not attached or runs_already:
        attachment.close()
    return None if runs_already else attachment


@contextmanager
def held(parts: Parts, container_id: str) -> Iterator[Container]:
    """The container, locked and put right, and not in the middle of an end: a monitor that lives has it running.

    A monitor notes the end before it cleans up; what others made for the next run meanwhile it would take away.
    Raises :class:`NoSuchContainer`.
    """
    run = parts.run_directory(container_id)
    while True:
        with parts.store.lock(container_id):
            container = reconcile(parts, parts.store.load(container_id))
            if container.running or not run.alive():
                yield container
                return
        run.wait(_MOMENT)  # not to its end: before that it frees the disk


def reconcile(parts: Parts, container: Container) -> Container:
    """The container with its state put right when its monitor died. The caller holds its lock."""
    run = parts.run_directory(container.id)
    if run.alive() and container.running and run.is_unsettled() and not parts.root.read_only:
        from lamina.container import connecting  # hardly ever

        connecting.settle(parts, container)
    if run.alive() or not (container.running or run.exists()) or parts.root.read_only:
        return container
    failure = run.failure()
    clean_up(parts, container, run)
    if container.running:
        container.set_exited(LOST, error=failure)
        networking.forget(container)
        parts.store.save(container)
    run.remove()
    return container


def clean_up(parts: Parts, container: Container, run: RunDirectory) -> None:
    """Undo what a monitor would have undone. The caller holds the container's lock; its monitor does not live."""
    if run.exists():
        parts.runtime().delete(container.id, run.path)
        cgroup.destroy(controlgroup.of(container))
    networking.recover(parts, container.id)
    unmount(parts, container.id)


def unmount(parts: Parts, container_id: str) -> None:
    """Take the container's file system down. Idempotent."""
    rare.leave(parts, container_id)
    try:
        parts.layers.unmount(container_id)
    except (DamagedLayer, MountNotFound):
        return  # where a damaged one is mounted can't be told before it is removed


def current(parts: Parts, container_id: str) -> Container:
    """The container as it is now, put right first where needed. Raises :class:`NoSuchContainer`."""
    container = parts.store.load(container_id)
    run = parts.run_directory(container_id)
    if (run.alive() and not run.is_unsettled()) or not (container.running or run.exists()):
        return container
    with parts.store.lock(container_id):
        container = reconcile(parts, parts.store.load(container_id))
        if container.auto_remove and not container.running:  # its monitor would have removed it
            removal.delete(parts, container, volumes=True)
            raise NoSuchContainer(container_id)
    return container
