"""What the container service works on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from lamina.configuration import Configuration
from lamina.container.record import Container
from lamina.container.rundirectory import RunDirectory
from lamina.container.store import ContainerStore
from lamina.dataroot import DataRoot
from lamina.layer.store import FileLayerStore
from lamina.owners import SAME, Owners
from lamina.typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from lamina.image.contract import ImageStore
    from lamina.runtime.program import RuntimeProgram

#: The member of ``SecurityOpt``, alone or with a value.
_NO_NEW_PRIVILEGES = "no-new-privileges"


class Volume(Protocol):
    """A volume, as far as a container cares."""

    @property
    def name(self) -> str: ...

    @property
    def path(self) -> str: ...


class Volumes(Protocol):
    """The volume store, as far as a container cares."""

    def create(
        self, name: str = "", *, labels: dict[str, str] | None = None, options: dict[str, str] | None = None
    ) -> tuple[Volume, bool]:
        """The volume ``name`` (a new anonymous one for ``""``) and whether it was made now."""

    def get(self, name: str) -> Volume:
        """Raises ``NotFound``."""

    def remove(self, name: str, users: list[str]) -> None: ...

    def attach(self, name: str, holder: str) -> bool:
        """Make the content reachable for the container ``holder``; whether the volume is read-only."""

    def release(self, holder: str) -> None:
        """The container uses no volume any more. Idempotent."""

    def on(self, root: DataRoot) -> Volumes:
        """The volume store of another :class:`DataRoot` object."""


class Network(Protocol):
    """A network, as far as a container cares."""

    @property
    def id(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def driver(self) -> str: ...


class Endpoint(Protocol):
    """A container's place on a network."""

    @property
    def network(self) -> str: ...

    @property
    def network_name(self) -> str: ...

    @property
    def id(self) -> str: ...

    @property
    def address(self) -> str: ...

    @property
    def prefix(self) -> int: ...

    @property
    def gateway(self) -> str: ...

    @property
    def address6(self) -> str: ...

    @property
    def prefix6(self) -> int: ...

    @property
    def gateway6(self) -> str: ...

    @property
    def mac(self) -> str: ...


class NetworkWanted(NamedTuple):
    """What a container that starts wants of the networks.

    :ivar networks: name, entry of ``NetworkSettings.Networks``, and the names that others find the container by; the
        first network that leads anywhere gets the default route.
    :ivar user_namespace: descriptor of the one that the network is to belong to; -1 for this process's.
    """

    id: str
    name: str
    networks: tuple[tuple[str, Mapping[str, Any], tuple[str, ...]], ...]
    config: Mapping[str, Any]
    host_config: Mapping[str, Any]
    user_namespace: int = -1


class NetworkOpened(Protocol):
    """What a container has got."""

    @property
    def descriptor(self) -> int:
        """Of the network namespace, to be closed by the caller."""

    @property
    def endpoints(self) -> Sequence[Endpoint]: ...

    @property
    def ports(self) -> dict[str, Any]:
        """``NetworkSettings.Ports``."""

    @property
    def user_namespace(self) -> int:
        """The descriptor that was given, to be closed by the caller."""

    @property
    def helper(self) -> int:
        """Pid of a child that serves it and ends when it is killed; 0 without."""


class Networks(Protocol):
    """The network service, as far as a container cares."""

    def load(self) -> None:
        """Load the modules that :meth:`open` needs, which takes a while."""

    def get(self, text: str) -> Network:
        """Raises ``NotFound``."""

    def check_ports(self, config: Mapping[str, Any], host_config: Mapping[str, Any]) -> None:
        """Raises ``InvalidArgument`` or ``Unsupported`` when the ports can't be published."""

    def check_endpoint(self, text: str, endpoint: Mapping[str, Any]) -> None:
        """Raises ``InvalidArgument`` when the network can't give what ``endpoint``, an entry of
        ``NetworkSettings.Networks``, asks for; ``NotFound``."""

    def open(self, wanted: NetworkWanted) -> NetworkOpened:
        """Make it all, or nothing."""

    def close(self, container: str) -> None:
        """Give everything back. Idempotent."""

    def recover(self, container: str) -> None:
        """Give everything back of a container whose monitor died, however far it had come. Idempotent."""

    def names_at(self, container: str) -> str:
        """Address of the server for names that a running container asks; ``""`` for the host's."""

    def host_address(self) -> str:
        """``host-gateway``: where a container finds the host. Raises ``NotFound``."""

    def connect(
        self, text: str, container: tuple[str, str], pid: int, entry: Mapping[str, Any], names: tuple[str, ...]
    ) -> Endpoint:
        """Put a running container (id and name) on one more network. ``entry`` is as in :class:`NetworkWanted`."""

    def disconnect(self, network_id: str, container: str, pid: int) -> None:
        """Take a running container off a network."""

    def settle(self, container: str, pid: int) -> None:
        """Take away what calls that were killed have left of a running container."""

    def endpoints_of(self, container: str) -> Sequence[Endpoint]:
        """Of a running container."""

    def on(self, root: DataRoot) -> Networks:
        """The network service of another :class:`DataRoot` object."""


class StartSettings(NamedTuple):
    """What daemon.json gives a container that asks for nothing itself, at each start. As in Docker, the container's
    record does not say so."""

    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    init: bool = False
    no_new_privileges: bool = False

    @classmethod
    def of(cls, configuration: Configuration) -> StartSettings:
        """What the file says."""
        return cls(
            configuration.dns,
            configuration.dns_search,
            configuration.dns_opts,
            configuration.init,
            configuration.no_new_privileges,
        )

    def complete(self, container: Container) -> Container:
        """The container as it is started."""
        if self == StartSettings():
            return container
        host_config = dict(container.host_config)
        for member, values in (("Dns", self.dns), ("DnsSearch", self.dns_search), ("DnsOptions", self.dns_options)):
            host_config[member] = host_config.get(member) or list(values)
        if host_config.get("Init") is None:
            host_config["Init"] = self.init
        options = host_config.get("SecurityOpt") or []
        if self.no_new_privileges and not any(option.startswith(_NO_NEW_PRIVILEGES) for option in options):
            host_config["SecurityOpt"] = [*options, _NO_NEW_PRIVILEGES]
        return Container(container.document, host_config)


class Parts(NamedTuple):
    """One data root's stores, and the way to a fresh set of them.

    :ivar open_images: the image store, which few commands need.
    :ivar open_volumes: the volume store of a data root; ``open_networks``: its network service.
    """

    root: DataRoot
    layers: FileLayerStore
    open_images: Callable[[], ImageStore]
    store: ContainerStore
    open_volumes: Callable[[DataRoot], Volumes]
    open_networks: Callable[[DataRoot], Networks]
    start_settings: StartSettings = StartSettings()

    @property
    def images(self) -> ImageStore:
        return self.open_images()

    @property
    def container_root(self) -> tuple[int, int] | None:
        """User and group who own what is made for containers; ``None`` where that is this process's user."""
        return self.root.owners.root if self.root.owners.are_mapped else None

    def owners_for(self, container: Container) -> Owners:
        """Who somebody in the container is on the host."""
        return SAME if container.host_config.get("UsernsMode") == "host" else self.root.owners

    @property
    def networks(self) -> Networks:
        return self.open_networks(self.root)

    @property
    def volumes(self) -> Volumes:
        return self.open_volumes(self.root)

    def run_directory(self, container_id: str) -> RunDirectory:
        return RunDirectory(self.root.sub("lamina", "run", container_id))

    def runtime(self) -> RuntimeProgram:
        """The runtime to use. ``HostConfig.Runtime`` says ``runc`` in every container that names none: it is what a
        dockerd on the same root calls its default, and means no more than that."""
        from lamina.runtime import program  # containers are made and looked at without

        return program.find()

    def reopened(self) -> Parts:
        """The same for a forked child: nothing that another thread of the parent had locked or open."""
        from lamina.graphdriver.choice import open_driver

        root = DataRoot.open(self.root.path, owners=self.root.owners)
        driver = open_driver(root.path, self.layers.driver.name, root.owners)
        return self._replace(root=root, layers=FileLayerStore(root, driver), store=ContainerStore(root))
