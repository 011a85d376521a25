"""Ending a run: signal, kill, stop, restart, wait; and removal."""

from __future__ import annotations

import os
from collections.abc import Callable

from lamina import events, signal
from lamina.container import frames, pausing, removal, signals
from lamina.container.attachment import Attachment, MonitorLost
from lamina.container.lifecycle import current, held, start
from lamina.container.parts import Parts
from lamina.container.record import PAUSED, RESTARTING, Container
from lamina.container.restarting import NO, RestartPolicy
from lamina.container.states import NotRunning
from lamina.container.store import DamagedContainer, NoSuchContainer
from lamina.contextlib import suppress
from lamina.errors import Conflict, SystemFailure

_STOP_SECONDS = 10
#: How long a killed container may take to end.
KILL_SECONDS = 30.0


class StillRunning(Conflict):
    """A running container is removed by force or not at all."""

    def __init__(self, container_id: str, status: str) -> None:
        how = "Unpause and then stop" if status == PAUSED else "Stop"
        super().__init__(
            f"You cannot remove a {status} container {container_id}. "
            f"{how} the container before attempting removal or force remove"
        )


class WillNotDie(SystemFailure):
    """SIGKILL had no effect in time."""

    def __init__(self, container_id: str) -> None:
        super().__init__(f"Container {container_id} could not be killed in {KILL_SECONDS:.0f} seconds")


def send_signal(parts: Parts, container_id: str, number: int) -> None:
    """``docker kill``, without waiting: signal the first process, and note that somebody has stopped the container.

    A container between two runs is not started again. Raises :class:`NotRunning`.
    """
    current(parts, container_id)
    with parts.store.lock(container_id):
        container = parts.store.load(container_id)
        if not container.running:
            raise NotRunning(container_id)
        own = container.config.get("StopSignal")
        ends = number == signal.SIGKILL or not own or signals.number(own) == number
        if ends:
            parts.run_directory(container_id).cancel()
        events.note(parts.root, container, "kill", {"signal": str(number)})
        container.document["HasBeenManuallyStopped"] = True
        parts.store.save(container)
        if container.status != RESTARTING:
            _signal_process(container, number)
        if ends and container.status == PAUSED:  # nothing reaches a frozen process
            pausing.thaw(parts, container)


def _signal_process(container: Container, number: int) -> None:
    """The caller holds the container's lock, so the pid can't have been given to somebody else: its monitor does not
    reap the process before it has noted its end."""
    with suppress(ProcessLookupError):
        os.kill(container.pid, number)


def kill(parts: Parts, container_id: str, text: str = "KILL") -> None:
    """``docker kill``: with SIGKILL it returns when the container has ended."""
    if text.isascii() and text.isdecimal() and int(text) > signals.LAST:
        raise SystemFailure(f"The linux daemon does not support signal {int(text)}")
    number = signals.number(text)
    send_signal(parts, container_id, number)
    if number == signal.SIGKILL and not parts.run_directory(container_id).wait(KILL_SECONDS)[0]:
        raise WillNotDie(container_id)


def stop(parts: Parts, container_id: str, timeout: int | None = None) -> None:
    """Ask it to end, and kill it after ``timeout`` seconds (default: the container's, else 10; -1: never)."""
    container = current(parts, container_id)
    if not container.running:
        return
    if timeout is None:
        configured = container.config.get("StopTimeout")
        timeout = _STOP_SECONDS if configured is None else int(configured)
    try:
        send_signal(parts, container_id, signals.number(container.config.get("StopSignal") or signals.DEFAULT_STOP))
        if not parts.run_directory(container_id).wait(None if timeout < 0 else float(timeout))[0]:
            kill(parts, container_id)
    except (NotRunning, NoSuchContainer):
        pass
    events.note(parts.root, container, "stop")


def restart(
    parts: Parts, container_id: str, timeout: int | None = None, *, started_pids: Callable[[int], None]
) -> None:
    """:func:`stop`, if it runs, and :func:`start`. A container with ``--rm`` survives it."""
    stop(parts, container_id, timeout)
    start(parts, container_id, attached=False, started_pids=started_pids)
    events.note(parts.root, parts.store.load(container_id), "restart")


def wait(parts: Parts, container_id: str) -> int:
    """Exit code of the run that ends next; of the last one if it does not run. A container that never ran has 0."""
    run = parts.run_directory(container_id)
    if run.alive() and RestartPolicy.of(parts.store.load(container_id).host_config).name != NO:
        with suppress(OSError, MonitorLost):
            connection = Attachment(frames.connect(run.path))
            connection.send(frames.NEXT_EXIT)
            return connection.relay(None, None, None)
    _, code = run.wait()
    if code is not None:
        return code
    container = current(parts, container_id)
    return wait(parts, container_id) if container.running else container.exit_code


def remove(parts: Parts, container_id: str, *, force: bool = False, volumes: bool = False) -> None:
    """Delete a container, with ``volumes`` also its anonymous volumes; a damaged one only with ``force``.

    :raises StillRunning: it runs and ``force`` is off.
    :raises DamagedContainer: its files can't be understood and ``force`` is off.
    """
    try:
        container = _remove(parts, container_id, force=force, volumes=volumes)
    except DamagedContainer:
        if not force:
            raise
        from lamina.container import damaged  # after a power cut

        container = damaged.remove(parts, container_id, volumes=volumes)
    if container is not None:
        events.note(parts.root, container, "destroy")


def _remove(parts: Parts, container_id: str, *, force: bool, volumes: bool) -> Container | None:
    """The container that was removed; ``None`` when its monitor has removed it."""
    killed = False
    while True:
        if force:
            with suppress(NotRunning):
                kill(parts, container_id)
                killed = True
        try:
            with held(parts, container_id) as container:
                if not container.running:
                    removal.delete(parts, container, volumes=volumes)
                    return container
                if not force:  # else it was about to start
                    raise StillRunning(container_id, container.status)
        except NoSuchContainer:
            if not killed:
                raise
            return None  # made with --rm: its monitor has removed it, and told so
