"""Containers of one data root: the object that the engine and its fronts work with.

The modules that do the work are imported by the methods that call them: a command needs one or two of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence

from lamina.configuration import Configuration
from lamina.container import lifecycle
from lamina.container.parts import Networks, Parts, StartSettings, Volumes
from lamina.container.record import Container
from lamina.container.store import ContainerStore, DamagedContainer, NoSuchContainer
from lamina.contextlib import suppress
from lamina.dataroot import DataRoot
from lamina.digest import ImageID
from lamina.errors import Corrupt, NotFound
from lamina.layer.store import FileLayerStore
from lamina.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamina.container.attachment import Attachment
    from lamina.container.execution import ExecRequest, Execution
    from lamina.container.jsonlog import Entry
    from lamina.container.logs import LogRequest
    from lamina.container.request import CreateRequest
    from lamina.container.restarting import RestartPolicy
    from lamina.container.restoring import Restored
    from lamina.container.standby import Standby
    from lamina.image.contract import ContainerUse, ImageStore
    from lamina.layer.contract import Change


class ContainerService:
    """Create, run, look at and remove containers; what is done with their files is in ``container.files``.

    Containers are named by what a user types: a name, an id, or an unambiguous prefix of one. Every operation may run
    in any number of threads and processes at once.

    :param configuration: daemon.json, for what containers say nothing about themselves.
    """

    def __init__(
        self,
        root: DataRoot,
        layers: FileLayerStore,
        open_images: Callable[[], ImageStore],
        open_volumes: Callable[[DataRoot], Volumes],
        open_networks: Callable[[DataRoot], Networks],
        *,
        configuration: Configuration,
    ) -> None:
        self._configuration = configuration
        settings = StartSettings.of(configuration)
        self._parts = Parts(root, layers, open_images, ContainerStore(root), open_volumes, open_networks, settings)
        self._monitors: list[int] = []

    @property
    def parts(self) -> Parts:
        """What it works on, for :class:`lamina.container.files.ContainerFiles`."""
        return self._parts

    @property
    def store(self) -> ContainerStore:
        """The files of the containers."""
        return self._parts.store

    def id_of(self, text: str) -> str:
        """The full id of what ``text`` means. Raises :class:`NoSuchContainer`, :class:`AmbiguousPrefix`."""
        return self._parts.store.find(text)

    def get(self, text: str) -> Container:
        """One container, its state put right where its monitor died."""
        return lifecycle.current(self._parts, self.id_of(text))

    def listed(self, *, all: bool = True, damaged: list[Corrupt] | None = None) -> Sequence[Container]:
        """Newest first; only running ones without ``all``.

        :param damaged: gets what is wrong with those that can't be listed.
        """
        found = []
        for id in self._parts.store.ids():
            try:
                container = lifecycle.current(self._parts, id)
            except NoSuchContainer:
                continue
            except DamagedContainer as error:
                if damaged is not None:
                    damaged.append(error)
                continue
            if all or container.running:
                found.append(container)
        found.sort(key=lambda container: container.created, reverse=True)
        return found

    def create(self, request: CreateRequest) -> Container:
        """See :func:`lamina.container.creation.create`."""
        from lamina import events
        from lamina.container import creation, defaults, health, logdrivers
        from lamina.container.restarting import RestartPolicy

        RestartPolicy.of(request.host_config).check()
        request = request._replace(host_config=defaults.configured(request.host_config, self._configuration))
        logdrivers.check(request.host_config["LogConfig"])
        health.check_settings(request.config.get("Healthcheck"))
        container = creation.create(self._parts, request)
        events.note(self._parts.root, container, "create")
        return container

    def standby(self, network_mode: str = "") -> Standby:
        """What makes the next start quick: a process that gets ready to be a monitor beside what is done meanwhile.

        For programs without threads. Leave it (``with``) whether it was used or not.

        :param network_mode: what the container's ``HostConfig`` will say, for what is got ready.
        """
        from lamina.container import networking
        from lamina.container.standby import Standby

        return Standby(self._parts, bridged=networking.makes_interfaces(network_mode))

    def start(self, text: str, standby: Standby | None = None) -> None:
        """Start it detached; nothing when it runs already.

        :param standby: an unused one that is to become its monitor.
        """
        self._start(text, attached=False, standby=standby)

    def start_attached(self, text: str, standby: Standby | None = None) -> Attachment | None:
        """Start it and exchange bytes with it; ``None`` when it runs already. ``standby`` as in :meth:`start`."""
        return self._start(text, attached=True, standby=standby)

    def _start(self, text: str, *, attached: bool, standby: Standby | None) -> Attachment | None:
        self._reap()
        return lifecycle.start(
            self._parts, self.id_of(text), attached=attached, started_pids=self._monitors.append, standby=standby
        )

    def stop(self, text: str, timeout: int | None = None) -> None:
        """See :func:`lamina.container.ending.stop`."""
        from lamina.container import ending

        ending.stop(self._parts, self.id_of(text), timeout)

    def kill(self, text: str, signal: str = "KILL") -> None:
        """See :func:`lamina.container.ending.kill`."""
        from lamina.container import ending

        ending.kill(self._parts, self.id_of(text), signal)

    def restart(self, text: str, timeout: int | None = None) -> None:
        """See :func:`lamina.container.ending.restart`."""
        from lamina.container import ending

        self._reap()
        ending.restart(self._parts, self.id_of(text), timeout, started_pids=self._monitors.append)

    def restore(self) -> Iterator[Restored]:
        """See :func:`lamina.container.restoring.restore`."""
        from lamina.container import restoring

        self._reap()
        return restoring.restore(self._parts, self._monitors.append)

    def pause(self, text: str) -> None:
        """See :func:`lamina.container.pausing.pause`."""
        from lamina.container import pausing

        pausing.pause(self._parts, self.id_of(text))

    def unpause(self, text: str) -> None:
        """See :func:`lamina.container.pausing.unpause`."""
        from lamina.container import pausing

        pausing.unpause(self._parts, self.id_of(text))

    def rename(self, text: str, name: str) -> None:
        """See :func:`lamina.container.changing.rename`."""
        from lamina.container import changing

        changing.rename(self._parts, self.id_of(text), name)

    def set_restart_policy(self, text: str, policy: RestartPolicy) -> None:
        """See :func:`lamina.container.changing.set_restart_policy`."""
        from lamina.container import changing

        changing.set_restart_policy(self._parts, self.id_of(text), policy)

    def attach(self, text: str, *, stdin: bool = True) -> Attachment:
        """See :func:`lamina.container.attaching.attach`."""
        from lamina.container import attaching

        return attaching.attach(self._parts, self.id_of(text), stdin=stdin)

    def signal(self, text: str, number: int) -> None:
        """Send a signal without waiting for anything. Raises ``NotRunning``."""
        from lamina.container import ending

        ending.send_signal(self._parts, self.id_of(text), number)

    def execute(self, text: str, request: ExecRequest) -> Execution:
        """Start one more process in it. Raises ``NotRunning`` and the other reasons of ``container.states``."""
        from lamina.container import execution, states
        from lamina.container.execution import Place

        container = self.get(text)
        states.require_enterable(container, text)
        place = Place(self._parts.root, self._parts.run_directory(container.id), self._parts.runtime())
        return execution.start(container, place, request)

    def wait(self, text: str) -> int:
        """Block until it does not run; its exit code."""
        from lamina.container import ending

        return ending.wait(self._parts, self.id_of(text))

    def remove(self, text: str, *, force: bool = False, volumes: bool = False) -> None:
        """See :func:`lamina.container.ending.remove`."""
        from lamina.container import ending

        ending.remove(self._parts, self.id_of(text), force=force, volumes=volumes)

    def unlink(self, text: str) -> None:
        """See :func:`lamina.container.linking.unlink`."""
        from lamina.container import linking

        linking.unlink(self._parts, text)

    def links(self, container: Container) -> Sequence[str] | None:
        """See :func:`lamina.container.linking.shown`."""
        if not container.host_config.get("Links"):
            return None
        from lamina.container import linking

        return linking.shown(self._parts.store, container)

    def link_names(self, containers: Sequence[Container]) -> Mapping[str, Sequence[str]]:
        """See :func:`lamina.container.linking.names`."""
        from lamina.container import linking

        return linking.names(self._parts.store, containers)

    def logs(self, text: str, request: LogRequest | None = None) -> Iterator[Entry]:
        """Entries of its log; with ``follow`` until it stops."""
        from lamina.container import logdrivers, logs
        from lamina.container.logs import LogRequest

        container_id = self.id_of(text)
        container = self._parts.store.load(container_id)
        place = logdrivers.place_of(container, self._parts.store.log_path(container_id))
        run = self._parts.run_directory(container_id)

        def running() -> bool:
            """Whether the run that was asked about goes on: following ends with it, also where another one follows."""
            if not run.alive():
                return False
            state = self._parts.store.load(container_id).state
            return not state["Restarting"] and state["StartedAt"] == container.state["StartedAt"]

        return logs.read(place.path, request or LogRequest(), running, place.form)

    def changes(self, text: str) -> Sequence[Change]:
        """``docker diff``."""
        from lamina.container import opening

        container_id = self.id_of(text)
        with opening.kept(self._parts, container_id):
            return self._parts.layers.changes(container_id)

    def size(self, text: str) -> int:
        """``SizeRw``."""
        return self._parts.layers.writable_size(self.id_of(text))

    def sizes(self, container: Container) -> tuple[int, int]:
        """``SizeRw`` and ``SizeRootFs``: bytes of the writable layer, and with all layers below it."""
        written = self._parts.layers.writable_size(container.id)
        parent = self._parts.layers.writable(container.id).parent
        return written, written + sum(layer.size for layer in self._parts.layers.stack(parent))

    def exec_ids(self, container: Container) -> Sequence[str]:
        """``ExecIDs`` of ``inspect``."""
        from lamina.container import execution

        return execution.ids(self._parts.run_directory(container.id))

    def graph_driver_data(self, container: Container) -> dict[str, str]:
        """``GraphDriver.Data`` of ``inspect``; empty when the container's layer is another driver's or damaged."""
        try:
            return self._parts.layers.driver.metadata(self._parts.layers.writable(container.id).mount_id)
        except (NotFound, Corrupt):
            return {}

    def volume_users(self, name: str) -> Sequence[str]:
        """Ids of the containers that have the volume ``name``."""
        from lamina.container import removal

        return removal.volume_users(self._parts, name)

    def image_uses(self) -> Iterator[ContainerUse]:
        """What removal of images has to know of every container."""
        from lamina.image.contract import ContainerUse

        for container in self.listed():
            running = container.running
            yield ContainerUse(container.id, ImageID(container.image_id), running, container.config.get("Image") or "")

    def _reap(self) -> None:
        """Monitors are children of whoever started them, and end long after the call that did."""
        for pid in tuple(self._monitors):
            with suppress(ChildProcessError):
                if os.waitpid(pid, os.WNOHANG)[0] == 0:
                    continue
            self._monitors.remove(pid)
