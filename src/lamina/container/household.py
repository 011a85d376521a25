"""What a monitor does with the engine: it holds and prepares its container, and keeps its record and its networks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from lamina import events
from lamina.container import controlgroup, health, lifecycle, logdrivers, mounts, networking, preparing, removal
from lamina.container.health import HealthCheck, Result
from lamina.container.monitor import Plan, failure_code
from lamina.container.parts import NetworkOpened, Parts
from lamina.container.record import RUNNING, Container
from lamina.container.restarting import RestartPolicy
from lamina.container.store import NoSuchContainer
from lamina.contextlib import contextmanager, suppress
from lamina.oci import timestamp
from lamina.runtime import cgroup
from lamina.runtime.program import ENGINE_FAILED, RuntimeProgram
from lamina.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamina.container.execution import ExecRequest, Execution


class EngineHousehold:
    """See :class:`lamina.container.monitor.Household`.

    :param runtime: what the container is started with; by default what is found then.
    """

    def __init__(self, parts: Parts, runtime: RuntimeProgram | None = None) -> None:
        self._parts = parts
        self._runtime = runtime
        # A dockerd that started on this root now would take the container for a dead one of its own.
        parts.root.begin_writing()
        self._network: NetworkOpened | None = None
        # What this run has told that it uses.
        self._networks: list[events.Actor] = []
        self._volumes: list[events.Actor] = []

    @contextmanager
    def starting(self, id: str, *, attached: bool) -> Iterator[Plan | None]:
        parts = self._parts
        run = parts.run_directory(id)
        with lifecycle.held(parts, id) as container:
            if container.running:
                yield None
                return
            if attached:
                events.note(parts.root, container, "attach")
            try:
                logdrivers.check_values(container, parts.store.log_path(id))
                container.document.update(RestartCount=0, HasBeenManuallyStopped=False)
                # First: it is how others know that there is something to put right, should this process die.
                lock = run.claim()
                try:
                    merged = parts.layers.mount(id, volatile=container.auto_remove)
                    preparing.prepare(parts, container, merged)
                    yield Plan(
                        container,
                        run,
                        self._runtime or parts.runtime(),
                        lock,
                        controlgroup.of(container),
                        parts.store.log_path(id),
                    )
                except BaseException:
                    cgroup.destroy(controlgroup.of(container))  # the runtime may have been killed
                    self.unmount(id)
                    run.remove()
                    os.close(lock)
                    raise
            except BaseException as error:
                self._note_failure(container, error)
                raise

    def _note_failure(self, container: Container, error: BaseException) -> None:
        code = failure_code(error)
        container.set_failed(lifecycle.NOT_STARTED if code == ENGINE_FAILED else code, str(error))
        self._parts.store.save(container)

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
                preparing.prepare(self._parts, container, self._parts.layers.mount(id))
                yield container
        except NoSuchContainer:
            yield None

    def failed(self, id: str, error: Exception) -> None:
        self._note_failure(self._parts.store.load(id), error)

    def unmount(self, id: str) -> None:
        self.left(id)
        lifecycle.unmount(self._parts, id)

    def remove(self, id: str, when_gone: Callable[[], None]) -> None:
        try:
            with self._parts.store.lock(id):
                container = self._parts.store.load(id)
                removal.delete(self._parts, container, volumes=True, when_gone=when_gone)
        except NoSuchContainer:
            return
        events.note(self._parts.root, container, "destroy")


def _is_started_again(container: Container, code: int, *, cancelled: bool) -> bool:
    stopped = bool(container.document.get("HasBeenManuallyStopped"))
    policy = RestartPolicy.of(container.host_config)
    return not cancelled and policy.wants(code, int(container.document.get("RestartCount") or 0), stopped=stopped)
