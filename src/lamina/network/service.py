"""Networks of one data root: the object that the engine and its fronts work with."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lamina import events
from lamina.configuration import Configuration
from lamina.dataroot import DataRoot
from lamina.functools import cached_property
from lamina.linux import userns
from lamina.network.contract import (
    BRIDGE,
    ConfigurationInUse,
    DefaultBridge,
    Endpoint,
    Holding,
    Network,
    NoSuchNetwork,
    PredefinedNetwork,
    Request,
)
from lamina.network.store import NetworkStore
from lamina.typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from lamina.network.bridges import Bridges
    from lamina.network.ipam import Addresses
    from lamina.network.ports import Bound
    from lamina.network.sandboxes import Opened, Sandboxes, Wanted

_T = TypeVar("_T")


class Networks:
    """Look at, make and remove networks, and put containers on them.

    Networks are named by what a user types: a name, an id, or an unambiguous prefix of one. Every operation may run in
    any number of threads and processes at once.

    :param alive: whether the container's monitor lives; what a dead one left is taken back.
    :param settle: puts right what a command that was killed has left of a container that runs.
    :param configuration: daemon.json, for what nobody says of a network.
    """

    def __init__(
        self,
        root: DataRoot,
        *,
        is_default: bool,
        alive: Callable[[str], bool],
        settle: Callable[[str], object],
        configuration: Configuration,
    ) -> None:
        self._root = root
        self._is_default = is_default
        self._alive = alive
        self._settle = settle
        self._configuration = configuration
        self._default = DefaultBridge.of(configuration)
        self.store = NetworkStore(root, is_default=is_default, options=self._default.options)
        self._ports: list[Bound] | None = None

    # Most of what follows is of no use to a container without a network of its own, which should not wait for it.

    @cached_property
    def _bridges(self) -> Bridges:
        from lamina.network.bridges import Bridges

        pools = self._configuration.default_address_pools
        return Bridges(self._root, self.store, is_default=self._is_default, pools=pools, default=self._default.pool)

    @cached_property
    def _addresses(self) -> Addresses:
        from lamina.network.ipam import Addresses

        return Addresses(self.store, self._alive)

    @cached_property
    def _sandboxes(self) -> Sandboxes:
        from lamina.network.sandboxes import Sandboxes

        return Sandboxes(self.store, self._bridges, self._addresses)

    def on(self, root: DataRoot) -> Networks:
        """The same on another :class:`DataRoot` object."""
        return Networks(
            root,
            is_default=self._is_default,
            alive=self._alive,
            settle=self._settle,
            configuration=self._configuration,
        )

    def load(self) -> None:
        """Load the modules that :meth:`open` needs, which takes a while."""
        from lamina.network import sandboxes  # noqa: F401 - that it is loaded is what it is about

    # Networks

    def get(self, text: str) -> Network:
        """Raises :class:`~lamina.network.contract.NoSuchNetwork`."""
        return self.store.find(text)

    def all(self) -> list[Network]:
        """By name."""
        return self.store.all()

    def endpoints(self, network: Network) -> list[Endpoint]:
        """Of containers that run."""
        return [endpoint for endpoint in self.store.endpoints(network.id) if self._alive(endpoint.container)]

    def create(self, request: Request) -> Network:
        """See :func:`lamina.network.creation.make`."""
        from lamina.network.creation import make

        made = self._in_network(lambda: make(self._root, self.store, self._bridges, request))
        self._tell(made, "create")
        return made

    def remove(self, text: str) -> Network:
        """The network that was removed.

        :raises NetworkInUse: a container is on it. :raises ConfigurationInUse: another network has its settings.
        """
        from lamina.network import naming

        found = self.store.find(text)
        _require_removable(found)
        self._root.require_writable()
        if found.config_only:
            self._remove_configuration(found)
            return found  # Docker tells nobody
        for container, holding in self.store.holdings():
            if any(endpoint.network == found.id and not endpoint.made for endpoint in holding.endpoints):
                self._settle(container)
        self._addresses.reclaim(found)
        self.store.remove(found)
        if found.driver == BRIDGE:
            self._in_network(lambda: self._bridges.remove(found))
        naming.forget(self.store, found)
        self._tell(found, "destroy")
        return found

    def _remove_configuration(self, network: Network) -> None:
        with self._root.lock("networks"):  # nobody makes a network with it meanwhile
            if any(other.config_from == network.name for other in self.store.all()):
                raise ConfigurationInUse(network.name)
            self.store.remove(network)

    def _tell(self, network: Network, action: str) -> None:
        attributes = {"name": network.name, "type": network.driver}
        events.tell(self._root, events.Actor(events.NETWORK, network.id, attributes), action)

    def tidy(self) -> None:
        """Take back what the dead left, and the default bridge where nobody is on it: the next start makes it again."""
        self.reclaim()
        for one in self.store.all():
            self._addresses.reclaim(one)
        self._in_network(lambda: self._bridges.rest(self.store.predefined("bridge")))

    # Containers

    def check_ports(self, config: Mapping[str, Any], host_config: Mapping[str, Any]) -> None:
        """See :func:`lamina.network.ports.requests`."""
        from lamina.network.ports import requests

        requests(config, host_config)

    def check_endpoint(self, text: str, endpoint: Mapping[str, Any]) -> None:
        """See :func:`lamina.network.ipam.check_endpoint`. Raises :class:`~lamina.network.contract.NoSuchNetwork`."""
        if endpoint.get("IPAMConfig") or endpoint.get("Aliases"):
            from lamina.network.ipam import check_endpoint

            check_endpoint(self.store.find(text), endpoint)

    def open(self, wanted: Wanted) -> Opened:
        """See :meth:`lamina.network.sandboxes.Sandboxes.open`."""
        if userns.has_joined():
            return self._open_inside(wanted)
        return self._sandboxes.open(wanted)

    def _open_inside(self, wanted: Wanted) -> Opened:
        """The same in the network of an ordinary user, which the calling thread enters; the ports are the host's.

        They are kept for the container's next run: there is no way back out to take them again.
        """
        from lamina.network import ports
        from lamina.rootless import network

        if self._ports is None:
            self._ports = self._sandboxes.bind(wanted)
        network.enter()
        return self._sandboxes.open(wanted, bound=[ports.again(one) for one in self._ports])

    def _in_network(self, work: Callable[[], _T]) -> _T:
        """Do something where the bridges are."""
        if not userns.has_joined():
            return work()
        from lamina.rootless import network

        return network.inside(work)

    def close(self, container: str) -> None:
        """Give everything of a container back. Its interfaces go with its namespace. Idempotent."""
        if self.store.holding(container) != Holding():
            self._in_network(lambda: self._sandboxes.close(container))

    def recover(self, container: str) -> None:
        """Give everything back of a container whose monitor died, however far it had come. Idempotent."""
        self.close(container)
        for network in self.store.all():
            self.store.release_all(network.id, container)

    def connect(
        self, text: str, container: tuple[str, str], pid: int, entry: Mapping[str, Any], names: tuple[str, ...]
    ) -> Endpoint:
        """See :meth:`lamina.network.sandboxes.Sandboxes.connect`."""
        return self._in_network(lambda: self._sandboxes.connect(text, container, pid, entry, names))

    def disconnect(self, network_id: str, container: str, pid: int) -> None:
        """See :meth:`lamina.network.sandboxes.Sandboxes.disconnect`."""
        self._in_network(lambda: self._sandboxes.disconnect(network_id, container, pid))

    def settle(self, container: str, pid: int) -> None:
        """See :meth:`lamina.network.sandboxes.Sandboxes.settle`."""
        self._in_network(lambda: self._sandboxes.settle(container, pid))

    def reclaim(self) -> None:
        """Take back what those have who died without giving it back."""
        for container in self.store.holders():
            if not self._alive(container):
                self.recover(container)

    def names_at(self, container: str) -> str:
        """See :meth:`lamina.network.sandboxes.Sandboxes.names_at`."""
        return self._sandboxes.names_at(container)

    def host_address(self) -> str:
        """The default bridge's address, which is the host's for containers. Raises :class:`NoSuchNetwork`."""
        pool = self.store.find("bridge").pool(4)
        if pool is None:
            raise NoSuchNetwork("bridge")
        return pool.gateway

    def endpoints_of(self, container: str) -> tuple[Endpoint, ...]:
        """Of a running container."""
        return self.store.holding(container).endpoints


def _require_removable(network: Network) -> None:
    if network.predefined:
        raise PredefinedNetwork(f"{network.name} is a pre-defined network and cannot be removed")
