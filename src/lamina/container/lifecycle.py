"""Start, stop, kill, wait and remove, and putting the state right after a crash."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import ExitStack, suppress

from lamina import atomicfile
from lamina.container import frames, hostfiles, monitor, mounts, rare, rootfs, signals, specification, users
from lamina.container.attachment import Attachment, StartFailed
from lamina.container.parts import Parts
from lamina.container.record import PAUSED, Container
from lamina.container.rundirectory import RunDirectory
from lamina.container.specification import Prepared
from lamina.container.states import NotRunning
from lamina.container.store import NoSuchContainer
from lamina.errors import Conflict, InvalidArgument, LaminaError, NotFound, SystemFailure
from lamina.layer.database import MountNotFound
from lamina.runtime.program import ENGINE_FAILED

#: What a container that nobody watched to its end has, as after a crash of dockerd.
LOST = 255
#: Exit code in the state of a container that could not be started for a reason of the engine's own.
_NOT_STARTED = 128
_STOP_SECONDS = 10
_KILL_SECONDS = 30.0


class StillRunning(Conflict):
    """A running container is removed by force or not at all."""

    def __init__(self, container_id: str, status: str) -> None:
        if status == PAUSED:
            message = (
                f"You cannot remove a paused container {container_id}. "
                "Unpause and then stop the container before attempting removal or force remove"
            )
        else:
            message = (
                f"You cannot remove a running container {container_id}. "
                "Stop the container before attempting removal or force remove"
            )
        super().__init__(message)


class WillNotDie(SystemFailure):
    """SIGKILL had no effect in time."""


# Starting


def start(parts: Parts, container_id: str, *, attached: bool, started_pids: Callable[[int], None]) -> Attachment | None:
    """Start a container; ``None`` when it runs already. Returns when its program has been executed.

    :param attached: whether the caller wants to exchange bytes with it; else the attachment is closed.
    :param started_pids: told the monitor's pid, which the caller must reap when it lives on.
    :raises StartFailed: with the exit code of ``run``.
    """
    parts.root.require_writable()
    with parts.store.lock(container_id):
        container = reconcile(parts, parts.store.load(container_id))
        if container.running:
            return None
        try:
            attachment = Attachment(_launch(parts, container, attached, started_pids))
            try:
                attachment.wait_until_started()
            except BaseException:
                attachment.close()
                raise
        except LaminaError as error:
            code = error.code if isinstance(error, StartFailed) else _NOT_STARTED
            container = reconcile(parts, container)  # a monitor that was lost has undone nothing
            container.set_failed(_NOT_STARTED if code == ENGINE_FAILED else code, str(error))
            parts.store.save(container)
            raise
    if not attached:
        attachment.close()
    return attachment


def _launch(parts: Parts, container: Container, attached: bool, started_pids: Callable[[int], None]) -> int:
    """Prepare everything and fork the monitor, which from then on undoes it; the client's end of its socket."""
    run = parts.run_directory(container.id)
    runtime = parts.runtime()
    with ExitStack() as undo:
        undo.callback(_unmount, parts, container.id)
        merged = parts.layers.mount(container.id, volatile=container.auto_remove)
        prepared = _prepare(parts, container, merged)
        lock = run.claim()
        undo.callback(run.remove)
        undo.callback(os.close, lock)
        atomicfile.write(run.sub("config.json"), specification.encode(container, prepared), sync=False)
        ours, theirs = frames.pair()
        plan = monitor.Plan(
            container=container,
            run=run,
            runtime=runtime,
            lock=lock,
            client=theirs,
            attached=attached,
            cgroups_path=specification.cgroups_path(container.id, container.host_config.get("CgroupParent") or ""),
            log_path=container.document["LogPath"],
            reopen=lambda: MonitorHousehold(parts.reopened()),
        )
        try:
            started_pids(monitor.fork(plan))
        except BaseException:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        undo.pop_all()
    os.close(lock)
    return ours


def _prepare(parts: Parts, container: Container, merged: str) -> Prepared:
    """Everything that has to be there before the runtime is called."""
    directory = parts.store.directory(container.id)
    root = rootfs.open_root(merged)
    try:
        rootfs.require_plain(root)
        rootfs.check_working_directory(root, container.config["WorkingDir"] or "/")
        for point in container.mount_points.values():
            _prepare_source(parts, point)
            _prepare_destination(root, point)
        groups = tuple(str(group) for group in container.host_config.get("GroupAdd") or ())
        user = users.resolve(root, container.config["User"], groups)
    finally:
        os.close(root)
    hostfiles.write(container, directory)
    container.document["LogPath"] = parts.store.log_path(container.id)
    return Prepared(merged, user, parts.root.sub("lamina/index"), rare.join(parts, container))


def _prepare_source(parts: Parts, point: dict[str, object]) -> None:
    source = str(point["Source"])
    if point["Type"] == mounts.VOLUME:
        parts.volumes.get(str(point["Name"]))
    elif point["Type"] == mounts.BIND and not os.path.exists(source):
        if point.get("SkipMountpointCreation"):
            raise InvalidArgument(f'invalid mount config for type "bind": bind source path does not exist: {source}')
        os.makedirs(source, 0o755, exist_ok=True)


def _prepare_destination(root: int, point: dict[str, object]) -> None:
    """Make the directory to mount on, also behind a link that leads nowhere yet; the runtime makes files."""
    if point["Type"] == mounts.TMPFS or os.path.isdir(str(point["Source"])):
        with suppress(rootfs.NotADirectory):  # the runtime says it better
            rootfs.make_directories(root, str(point["Destination"]))


def _unmount(parts: Parts, container_id: str) -> None:
    rare.leave(parts, container_id)
    try:
        parts.layers.unmount(container_id)
    except MountNotFound:
        return


class MonitorHousehold:
    """See :class:`lamina.container.monitor.Household`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        # A dockerd that started on this root now would take the container for a dead one of its own.
        parts.root.begin_writing()

    def save(self, container: Container) -> None:
        self._parts.store.save(container)

    def exited(self, id: str, code: int, *, oom_killed: bool) -> None:
        store = self._parts.store
        try:
            with store.lock(id):
                container = store.load(id)
                container.set_exited(code, oom_killed=oom_killed)
                store.save(container)
        except NoSuchContainer:
            return

    def unmount(self, id: str) -> None:
        _unmount(self._parts, id)

    def remove(self, id: str) -> None:
        try:
            with self._parts.store.lock(id):
                _delete(self._parts, self._parts.store.load(id), volumes=True)
        except NoSuchContainer:
            return


# Looking after


def reconcile(parts: Parts, container: Container) -> Container:
    """The container with its state put right when its monitor died. The caller holds its lock."""
    run = parts.run_directory(container.id)
    if run.alive() or not (container.running or run.exists()) or parts.root.read_only:
        return container
    failure = run.failure()
    _clean_up(parts, container, run)
    if container.running:
        container.set_exited(LOST, error=failure)
        parts.store.save(container)
    run.remove()
    return container


def _clean_up(parts: Parts, container: Container, run: RunDirectory) -> None:
    """Undo what a monitor would have undone."""
    if run.exists():
        parts.runtime().delete(container.id, run.path)
    _unmount(parts, container.id)


def current(parts: Parts, container_id: str) -> Container:
    """The container as it is now, put right first where needed. Raises :class:`NoSuchContainer`."""
    container = parts.store.load(container_id)
    run = parts.run_directory(container_id)
    if run.alive() or not (container.running or run.exists()):
        return container
    with parts.store.lock(container_id):
        container = reconcile(parts, parts.store.load(container_id))
    if container.auto_remove and not container.running:  # its monitor would have removed it
        remove(parts, container_id, volumes=True)
        raise NoSuchContainer(container_id)
    return container


# Ending


def send_signal(parts: Parts, container_id: str, number: int) -> None:
    """Signal the first process. Raises :class:`NotRunning`."""
    container = current(parts, container_id)
    if not container.running:
        raise NotRunning(container_id)
    try:
        handle = os.pidfd_open(container.pid)
    except ProcessLookupError:
        raise NotRunning(container_id) from None
    try:
        # The pid may have been given to somebody else before the handle was made, but then the state says so by now.
        again = parts.store.load(container_id)
        if not again.running or again.pid != container.pid:
            raise NotRunning(container_id)
        signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return
    finally:
        os.close(handle)


def kill(parts: Parts, container_id: str, text: str = "KILL") -> None:
    """``docker kill``: with SIGKILL it returns when the container has ended."""
    number = signals.number(text)
    send_signal(parts, container_id, number)
    if number == signal.SIGKILL and not parts.run_directory(container_id).wait(_KILL_SECONDS)[0]:
        raise WillNotDie(f"Container {container_id} could not be killed in {_KILL_SECONDS:.0f} seconds")


def stop(parts: Parts, container_id: str, timeout: int | None = None) -> None:
    """Ask it to end, and kill it after ``timeout`` seconds (default: the container's, else 10; -1: never)."""
    with parts.store.lock(container_id):
        container = reconcile(parts, parts.store.load(container_id))
        if not container.running:
            return
        container.document["HasBeenManuallyStopped"] = True
        parts.store.save(container)
    if timeout is None:
        configured = container.config.get("StopTimeout")
        timeout = _STOP_SECONDS if configured is None else int(configured)
    try:
        send_signal(parts, container_id, signals.number(container.config.get("StopSignal") or signals.DEFAULT_STOP))
        if not parts.run_directory(container_id).wait(None if timeout < 0 else float(timeout))[0]:
            kill(parts, container_id)
    except (NotRunning, NoSuchContainer):
        return


def wait(parts: Parts, container_id: str) -> int:
    """Exit code, once it does not run. A container that never ran has 0."""
    run = parts.run_directory(container_id)
    _, code = run.wait()
    if code is not None:
        return code
    container = current(parts, container_id)
    return wait(parts, container_id) if container.running else container.exit_code


def remove(parts: Parts, container_id: str, *, force: bool = False, volumes: bool = False) -> None:
    """Delete a container, with ``volumes`` also its anonymous volumes.

    :raises StillRunning: it runs and ``force`` is off.
    """
    if force:
        with suppress(NotRunning):
            kill(parts, container_id)
    with parts.store.lock(container_id):
        container = reconcile(parts, parts.store.load(container_id))
        if container.running:
            raise StillRunning(container_id, container.status)
        _delete(parts, container, volumes=volumes)


def _delete(parts: Parts, container: Container, *, volumes: bool) -> None:
    """The caller holds the container's lock."""
    with parts.layers.container_operation(container.id):
        parts.store.unpublish(container.id)
        parts.layers.remove_writable(container.id)
        parts.store.forget(container.id)
    if volumes:
        _remove_anonymous_volumes(parts, container)


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
