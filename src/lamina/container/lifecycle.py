"""Start, stop, kill, wait and remove, and putting the state right after a crash."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from lamina import atomicfile, events
from lamina.container import (
    frames,
    health,
    hostfiles,
    logdrivers,
    monitor,
    mounts,
    networking,
    rare,
    removal,
    rootfs,
    specification,
    users,
)
from lamina.container.attachment import Attachment, StartFailed
from lamina.container.health import HealthCheck, Result
from lamina.container.parts import NetworkOpened, Parts
from lamina.container.record import RUNNING, Container
from lamina.container.restarting import RestartPolicy
from lamina.container.rundirectory import RunDirectory
from lamina.container.specification import Prepared
from lamina.container.store import NoSuchContainer
from lamina.contextlib import ExitStack, contextmanager, suppress
from lamina.errors import InvalidArgument, LaminaError
from lamina.layer.database import MountNotFound
from lamina.oci import timestamp
from lamina.runtime import cgroup
from lamina.runtime.program import ENGINE_FAILED
from lamina.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamina.container.execution import ExecRequest, Execution

#: What a container that nobody watched to its end has, as after a crash of dockerd.
LOST = 255
#: Exit code in the state of a container that could not be started for a reason of the engine's own.
_NOT_STARTED = 128
_MOMENT = 0.05


# Starting


def start(parts: Parts, container_id: str, *, attached: bool, started_pids: Callable[[int], None]) -> Attachment | None:
    """Start a container; ``None`` when it runs already. Returns when its program has been executed.

    :param attached: whether the caller wants to exchange bytes with it; else the attachment is closed.
    :param started_pids: told the monitor's pid, which the caller must reap when it lives on.
    :raises StartFailed: with the exit code of ``run``.
    """
    parts.root.require_writable()
    with held(parts, container_id) as container:
        if container.running:
            return None
        tell = events.teller(parts.root, container)
        if attached:
            tell("attach")
        try:
            attachment = Attachment(_launch(parts, container, attached, started_pids), tell)
            try:
                attachment.wait_until_started()
            except BaseException:
                attachment.close()
                raise
        except LaminaError as error:
            code = error.code if isinstance(error, StartFailed) else _NOT_STARTED
            reconcile(parts, container)  # a monitor that was lost has undone nothing
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
    logdrivers.check_values(container, parts.store.log_path(container.id))
    container.document.update(RestartCount=0, HasBeenManuallyStopped=False)
    with ExitStack() as undo:
        lock = run.claim()  # first: it is how others know that there is something to put right, should this one die
        undo.callback(run.remove)
        undo.callback(os.close, lock)
        undo.callback(_unmount, parts, container.id)
        with ExitStack() as warm:  # over before the fork, which is not to happen beside a thread
            warm.callback(cgroup.warm_up())
            merged = parts.layers.mount(container.id, volatile=container.auto_remove)
            undo.callback(release, parts, container.id)
            prepare(parts, container, merged)
        ours, theirs = frames.pair()
        plan = monitor.Plan(
            container=container,
            run=run,
            runtime=runtime,
            lock=lock,
            client=theirs,
            attached=attached,
            cgroups_path=specification.cgroup_of(container),
            log_path=parts.store.log_path(container.id),
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


def prepare(parts: Parts, container: Container, merged: str) -> None:
    """Make what one run needs, here and in the run directory, which exists: before a start and before each restart.

    :param merged: the mounted file system.
    """
    container = parts.start_settings.complete(container)
    prepared = _prepare(parts, container, merged)
    run = parts.run_directory(container.id)
    if not run.make_null_device() and prepared.owners.are_mapped:
        from lamina.container import usernamespace  # few hosts have them

        raise usernamespace.no_devices(run.path)
    atomicfile.write(run.sub("config.json"), specification.encode(container, prepared), sync=False)


def release(parts: Parts, container_id: str) -> None:
    """Give back what :func:`prepare` took for one run. Idempotent; the container may have been removed."""


def _prepare(parts: Parts, container: Container, merged: str) -> Prepared:
    """Everything that has to be there before the runtime is called."""
    directory = parts.store.directory(container.id)
    root = rootfs.open_root(merged)
    try:
        rootfs.require_plain(root)
        rootfs.check_working_directory(root, container.config["WorkingDir"] or "/", owner=parts.container_root)
        for point in container.mount_points.values():
            _prepare_source(parts, point)
        joined = rare.join(parts, container)
        for point in container.mount_points.values():
            _prepare_destination(root, point, rare.source_of(point, joined), parts.container_root)
        groups = tuple(str(group) for group in container.host_config.get("GroupAdd") or ())
        user = users.resolve(root, container.config["User"], groups)
    finally:
        os.close(root)
    if not networking.share_files(parts, container):
        gateway = networking.host_gateway(parts, container)
        hostfiles.write(container, directory, gateway=gateway, owners=parts.root.owners)
    container.document["LogPath"] = logdrivers.shown_path(container, parts.store.log_path(container.id))
    owners = parts.owners_for(container)
    return Prepared(
        merged,
        user,
        parts.root.sub("lamina/index"),
        joined,
        networking.namespace_path(parts, container),
        owners,
        networking.user_namespace_path(parts, container) if owners.are_mapped else "",
    )


def _prepare_source(parts: Parts, point: dict[str, object]) -> None:
    source = str(point["Source"])
    if point["Type"] == mounts.VOLUME:
        parts.volumes.get(str(point["Name"]))
    elif point["Type"] == mounts.BIND and not os.path.exists(source):
        if point.get("SkipMountpointCreation"):
            raise InvalidArgument(f'invalid mount config for type "bind": bind source path does not exist: {source}')
        _make_source(source, parts.container_root)


def _make_source(path: str, owner: tuple[int, int] | None) -> None:
    """``mkdir -p``; what is new belongs to the containers' root."""
    new = []
    above = path
    while not os.path.exists(above):
        new.append(above)
        above = os.path.dirname(above)
    os.makedirs(path, 0o755, exist_ok=True)
    if owner is not None:
        for one in new:
            os.chown(one, *owner)


def _prepare_destination(root: int, point: dict[str, object], source: str, owner: tuple[int, int] | None) -> None:
    """Make the directory to mount on, also behind a link that leads nowhere yet; the runtime makes files."""
    if point["Type"] == mounts.TMPFS or os.path.isdir(source):
        with suppress(rootfs.NotADirectory):  # the runtime says it better
            rootfs.make_directories(root, str(point["Destination"]), owner=owner)


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
        self._network: NetworkOpened | None = None
        # What this run has told that it uses.
        self._networks: list[events.Actor] = []
        self._volumes: list[events.Actor] = []

    def open_network(self, container: Container) -> None:
        try:
            self._network = networking.open(self._parts, container)
        finally:  # Docker tells of the end of what it did not get, too
            self._networks = networking.actors(self._parts, container)
        self._volumes = mounts.actors(container.id, container.mount_points.values())
        self._tell(self._networks, "connect")
        self._tell(self._volumes, "mount")

    def _tell(self, actors: list[events.Actor], action: str) -> None:
        for actor in actors:
            events.tell(self._parts.root, actor, action)

    def save(self, container: Container) -> None:
        networking.note_started(self._parts, container)
        self._parts.store.save(container)
        events.note(self._parts.root, container, "start")

    def exited(self, id: str, code: int, *, oom_killed: bool) -> bool:
        store = self._parts.store
        try:
            with store.lock(id):
                container = store.load(id)
                again = _is_started_again(container, code, cancelled=self._parts.run_directory(id).cancelled())
                container.set_exited(code, oom_killed=oom_killed)
                self._networks = networking.actors(self._parts, container)
                networking.forget(container)
                if again:
                    container.set_restarting()
                store.save(container)
        except NoSuchContainer:
            return False
        if oom_killed:
            events.note(self._parts.root, container, "oom")
        events.note(self._parts.root, container, "die", {"exitCode": str(code)})
        return again

    def start_check(self, id: str, request: ExecRequest) -> Execution | None:
        container = self._parts.store.load(id)
        if container.status != RUNNING:
            return None
        from lamina.container import execution
        from lamina.container.execution import Place

        place = Place(self._parts.root, self._parts.run_directory(id), self._parts.runtime())
        return execution.start(container, place, request)

    def checked(self, id: str, check: HealthCheck, result: Result) -> None:
        store = self._parts.store
        with suppress(NoSuchContainer), store.lock(id):
            container = store.load(id)
            state = container.state.get("Health")
            if not state:
                return
            before = state["Status"]
            health.note(state, check, result, timestamp.nanoseconds(container.state["StartedAt"]))
            store.save(container)
            if state["Status"] != before:
                events.note(self._parts.root, container, f"health_status: {state['Status']}")

    def left(self, id: str) -> None:
        if self._network is not None:
            networking.end(self._parts, id, self._network)
            self._network = None
        release(self._parts, id)
        self._tell(self._networks, "disconnect")
        told = {"container": id, "driver": "local"}
        self._tell([volume._replace(attributes=told) for volume in self._volumes], "unmount")
        self._networks, self._volumes = [], []

    @contextmanager
    def restarting(self, id: str) -> Iterator[Container | None]:
        store = self._parts.store
        try:
            with store.lock(id):
                container = store.load(id)
                if self._parts.run_directory(id).cancelled():
                    container.set_stopped()
                    store.save(container)
                    yield None
                    return
                prepare(self._parts, container, self._parts.layers.mount(id))
                yield container
        except NoSuchContainer:
            yield None

    def failed(self, id: str, code: int, message: str) -> None:
        container = self._parts.store.load(id)
        container.set_failed(_NOT_STARTED if code == ENGINE_FAILED else code, message)
        self._parts.store.save(container)

    def unmount(self, id: str) -> None:
        self.left(id)
        _unmount(self._parts, id)

    def remove(self, id: str, when_gone: Callable[[], None]) -> None:
        try:
            with self._parts.store.lock(id):
                container = self._parts.store.load(id)
                removal.delete(self._parts, container, volumes=True, when_gone=when_gone)
        except NoSuchContainer:
            return
        events.note(self._parts.root, container, "destroy")


# Looking after


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
        run.wait(_MOMENT)  # not to its end: where the starter was killed it is only beginning


def reconcile(parts: Parts, container: Container) -> Container:
    """The container with its state put right when its monitor died. The caller holds its lock."""
    run = parts.run_directory(container.id)
    if run.alive() and container.running and run.is_unsettled() and not parts.root.read_only:
        from lamina.container import connecting  # hardly ever

        connecting.settle(parts, container)
    if run.alive() or not (container.running or run.exists()) or parts.root.read_only:
        return container
    failure = run.failure()
    _clean_up(parts, container, run)
    if container.running:
        container.set_exited(LOST, error=failure)
        networking.forget(container)
        parts.store.save(container)
    run.remove()
    return container


def _is_started_again(container: Container, code: int, *, cancelled: bool) -> bool:
    stopped = bool(container.document.get("HasBeenManuallyStopped"))
    policy = RestartPolicy.of(container.host_config)
    return not cancelled and policy.wants(code, int(container.document.get("RestartCount") or 0), stopped=stopped)


def _clean_up(parts: Parts, container: Container, run: RunDirectory) -> None:
    """Undo what a monitor would have undone."""
    if run.exists():
        parts.runtime().delete(container.id, run.path)
        cgroup.destroy(specification.cgroup_of(container))
    networking.recover(parts, container.id)
    _unmount(parts, container.id)


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
