"""The Python API for containers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence

from lamina.container.attachment import Attachment
from lamina.container.execution import ExecRequest
from lamina.container.logs import LogRequest
from lamina.container.record import Container as Record
from lamina.container.request import CreateRequest
from lamina.errors import Conflict
from lamina.typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from lamina.container.jsonlog import Entry
    from lamina.container.statistics import Statistics
    from lamina.engine import Engine
    from lamina.engine.pruning import Pruned
    from lamina.layer.contract import Change


class Finished(NamedTuple):
    """How a container ended, and what it wrote.

    :ivar exit_code: 128 and the signal's number for one that a signal ended.
    """

    exit_code: int
    stdout: bytes
    stderr: bytes


class Container:
    """One container. Its id and image never change; the rest is looked up when it is asked for."""

    __slots__ = ("_engine", "id")

    def __init__(self, engine: Engine, id: str) -> None:
        self._engine = engine
        self.id = id

    def __repr__(self) -> str:
        return f"<Container {self.id[:12]}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Container) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def record(self) -> Record:
        """What is on disk now. Raises ``NotFound`` once it is removed."""
        return self._engine.container_service.get(self.id)

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def running(self) -> bool:
        return self.record.running

    def start(self) -> None:
        """Start it again; nothing when it runs."""
        self._engine.container_service.start(self.id)

    def stop(self, timeout: int | None = None) -> None:
        """Ask it to end; after ``timeout`` seconds (default: its own, else 10) kill it."""
        self._engine.container_service.stop(self.id, timeout)

    def restart(self, timeout: int | None = None) -> None:
        """:meth:`stop` and :meth:`start`."""
        self._engine.container_service.restart(self.id, timeout)

    def pause(self) -> None:
        """Stop all its processes where they are. Raises ``Conflict`` when it does not run."""
        self._engine.container_service.pause(self.id)

    def unpause(self) -> None:
        """Let them go on."""
        self._engine.container_service.unpause(self.id)

    def rename(self, name: str) -> None:
        """Give it another name. Raises ``Conflict`` when it is taken."""
        self._engine.container_service.rename(self.id, name)

    def attach(self, *, stdin: bool = False) -> Attachment:
        """A connection to it, which the caller relays or closes. Raises ``Conflict`` when it does not run."""
        return self._engine.container_service.attach(self.id, stdin=stdin)

    def kill(self, signal: str = "KILL") -> None:
        """Send a signal by name or number."""
        self._engine.container_service.kill(self.id, signal)

    def wait(self) -> int:
        """Block until it does not run; its exit code."""
        return self._engine.container_service.wait(self.id)

    def exec(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        user: str = "",
        working_directory: str = "",
        privileged: bool = False,
    ) -> Finished:
        """Run one more process in it to its end. Raises ``Conflict`` when it does not run."""
        variables = tuple(f"{key}={value}" for key, value in (environment or {}).items())
        request = ExecRequest(tuple(command), variables, user, working_directory, privileged=privileged)
        execution = self._engine.container_service.execute(self.id, request)
        return _collect(lambda out, err: execution.relay(None, out, err))

    def update(self, settings: Mapping[str, Any]) -> list[str]:
        """Change limits (members of Docker's ``HostConfig``), also while it runs; what the host can't do.

        Raises ``InvalidArgument`` and ``Conflict``; nothing has changed then.
        """
        from lamina.container.updating import update

        return update(self._engine.container_service.parts, self.id, settings)

    def statistics(self) -> Statistics:
        """What it uses now. Takes a second when it runs."""
        from lamina.container.statistics import measure

        return measure([self.record])[0]

    def logs(self, request: LogRequest | None = None) -> Iterator[Entry]:
        """Entries of its log, oldest first."""
        return self._engine.container_service.logs(self.id, request)

    def changes(self) -> Sequence[Change]:
        """What differs from its image, as ``docker diff`` lists it."""
        return self._engine.container_service.changes(self.id)

    def remove(self, *, force: bool = False, volumes: bool = False) -> None:
        """Remove it and what it wrote; ``volumes`` too removes its anonymous volumes."""
        self._engine.container_service.remove(self.id, force=force, volumes=volumes)


class Containers:
    """Containers of one data root. Iterating gives all of them, newest first."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __iter__(self) -> Iterator[Container]:
        for record in self._engine.container_service.listed():
            yield Container(self._engine, record.id)

    def get(self, name: str) -> Container:
        """By name, id, or an unambiguous prefix of an id. Raises ``NotFound``."""
        return Container(self._engine, self._engine.container_service.id_of(name))

    def create(
        self,
        image: str,
        command: Sequence[str] = (),
        *,
        name: str = "",
        environment: Mapping[str, str] | None = None,
        user: str = "",
        working_directory: str = "",
        entrypoint: Sequence[str] | None = None,
        binds: Sequence[str] = (),
        tmpfs: Mapping[str, str] | None = None,
        network: str = "default",
        ports: Mapping[str, int | str] | None = None,
        read_only: bool = False,
        labels: Mapping[str, str] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> Container:
        """Make a container without starting it.

        :param image: a reference or an ID that is here; nothing is pulled.
        :param binds: ``SOURCE:TARGET[:ro]``, a host path or a volume's name as source.
        :param tmpfs: options by path inside.
        :param network: as ``docker run --network``: a network's name, ``none``, ``host``, ``container:NAME``.
        :param ports: what is published: ``{"80/tcp": 8080}``, or ``{"80/tcp": "127.0.0.1:8080"}``; 0 for a free one.
        :param settings: further members of Docker's ``HostConfig``: ``{"Memory": 64 << 20, "CapDrop": ["ALL"]}``.
        """
        return self._create(
            _request(
                image,
                command,
                name,
                {
                    "Env": [f"{key}={value}" for key, value in (environment or {}).items()],
                    "User": user,
                    "WorkingDir": working_directory,
                    "Labels": dict(labels or {}),
                    **({"ExposedPorts": {port: {} for port in ports}} if ports else {}),
                    **({"Entrypoint": list(entrypoint)} if entrypoint is not None else {}),
                },
                {
                    "PortBindings": {port: [_place(place)] for port, place in (ports or {}).items()},
                    "Binds": list(binds),
                    "Tmpfs": dict(tmpfs or {}),
                    "NetworkMode": network,
                    "ReadonlyRootfs": read_only,
                    **(settings or {}),
                },
            )
        )

    def start(self, image: str, command: Sequence[str] = (), **options: Any) -> Container:
        """:meth:`create` with the same options, and start it in the background."""
        container = self.create(image, command, **options)
        try:
            container.start()
        except BaseException:
            container.remove(force=True)
            raise
        return container

    def run(self, image: str, command: Sequence[str] = (), *, keep: bool = False, **options: Any) -> Finished:
        """:meth:`create` with the same options, run it to its end, and remove it unless ``keep``.

        >>> engine.containers.run("busybox", ["echo", "hello"]).stdout  # doctest: +SKIP
        b'hello\\n'
        """
        container = self.create(image, command, **options)
        try:
            attachment = self._engine.container_service.start_attached(container.id)
            if attachment is None:
                raise Conflict(f"container {container.id} was started by somebody else")
            return _finish(attachment)
        finally:
            if not keep:
                container.remove(force=True, volumes=True)

    def prune(self, filters: Mapping[str, Sequence[str]] | None = None) -> Pruned:
        """Remove those that do not run; see :func:`lamina.engine.pruning.containers`."""
        from lamina.engine import pruning

        return pruning.containers(self._engine, filters or {})

    def _create(self, request: CreateRequest) -> Container:
        return Container(self._engine, self._engine.container_service.create(request).id)


def _request(
    image: str, command: Sequence[str], name: str, config: dict[str, Any], host_config: dict[str, Any]
) -> CreateRequest:
    config["Image"] = image
    config["AttachStdout"] = config["AttachStderr"] = True
    if command:
        config["Cmd"] = list(command)
    return CreateRequest(config, host_config, name)


def _place(place: int | str) -> dict[str, str]:
    """An entry of ``PortBindings``."""
    address, _, port = str(place).rpartition(":")
    return {"HostIp": address.strip("[]"), "HostPort": port if port != "0" else ""}


def _finish(attachment: Attachment) -> Finished:
    try:
        return _collect(lambda out, err: attachment.relay(None, out, err))
    finally:
        attachment.close()


def _collect(relay: Callable[[int, int], int]) -> Finished:
    """Collect what comes in memory files: they take any amount and never block the container."""
    outputs = [os.memfd_create(name, os.MFD_CLOEXEC) for name in ("stdout", "stderr")]
    try:
        code = relay(*outputs)
        stdout, stderr = (os.pread(output, os.fstat(output).st_size, 0) for output in outputs)
        return Finished(code, stdout, stderr)
    finally:
        for output in outputs:
            os.close(output)
