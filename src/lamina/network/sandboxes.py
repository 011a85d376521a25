"""Putting containers on networks, and taking them off again."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from lamina.contextlib import ExitStack, suppress
from lamina.linux.netlink import Rtnetlink
from lamina.network import naming
from lamina.network.bridges import Bridges
from lamina.network.contract import (
    ANY,
    BRIDGE,
    OPTION_HOST_BINDING,
    Endpoint,
    Holding,
    Network,
    NoSuchNetwork,
    Publication,
)
from lamina.network.firewall import open_filter
from lamina.network.ipam import Addresses
from lamina.network.ports import Bound, bind, overlaps, requests, shown
from lamina.network.sandbox import Namespace, Plugging, Settings, free_name, set_default_routes
from lamina.network.store import NetworkStore
from lamina.typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from lamina.network.resolver import Listening


class Wanted(Protocol):
    """What a container that starts wants.

    The members of :class:`networks` are a network's name or id, the container's entry for it in ``NetworkSettings``,
    and the names that others find it by there; the first that leads anywhere gets the default route.
    """

    @property
    def id(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def networks(self) -> tuple[tuple[str, Mapping[str, Any], tuple[str, ...]], ...]: ...

    @property
    def config(self) -> Mapping[str, Any]:
        """Docker's ``Config``."""

    @property
    def host_config(self) -> Mapping[str, Any]:
        """Docker's ``HostConfig``."""

    @property
    def user_namespace(self) -> int:
        """Descriptor of the one that the network namespace is to belong to; -1 for the caller's."""


class Opened(NamedTuple):
    """A container's network.

    :ivar descriptor: of its namespace, which lasts until this is closed and nobody is in it.
    :ivar ports: ``NetworkSettings.Ports``.
    :ivar helper: pid of the process that holds its ports on the host; 0 without. A child of the caller.
    :ivar user_namespace: the descriptor that was given.
    """

    descriptor: int
    endpoints: tuple[Endpoint, ...]
    ports: dict[str, Any]
    helper: int
    user_namespace: int = -1


class Sandboxes:
    """What the containers of one root have."""

    def __init__(self, store: NetworkStore, bridges: Bridges, addresses: Addresses) -> None:
        self.store = store
        self.bridges = bridges
        self._addresses = addresses

    def open(self, wanted: Wanted, *, bound: Sequence[Bound] | None = None) -> Opened:
        """Make a container's network namespace, put it on its networks and publish its ports.

        Nothing is left of one that can't be made. The caller is the container's monitor: a helper process is its child.

        :param bound: what :meth:`bind` gave, where this is not the place to take ports; closed at the end.
        """
        self.close(wanted.id)
        with ExitStack() as undo:
            undo.callback(self.close, wanted.id)
            links = undo.enter_context(Rtnetlink())
            filter = undo.enter_context(open_filter())
            namespace = Namespace.fresh(wanted.user_namespace)
            undo.callback(namespace.close)
            plugging = Plugging(self.store, self.bridges, self._addresses, links, filter)
            endpoints: list[Endpoint] = []
            undo.callback(lambda: [plugging.release(endpoint) for endpoint in endpoints])
            mac = str(wanted.config.get("MacAddress") or "")
            for text, entry, names in wanted.networks:
                network = self.store.find(text)
                settings = Settings.of(entry, "" if endpoints else mac)
                intended = Endpoint.intended(network, (wanted.id, wanted.name), names)
                endpoints.append(plugging.plug(network, intended, settings, namespace))
            set_default_routes(endpoints, namespace)
            holding = Holding(tuple(endpoints))
            reachable = [endpoint for endpoint in endpoints if endpoint.host_interface and endpoint.gateway]
            if bound is None:
                bound = self._bind(wanted, self.store.find(reachable[0].network), reachable[0].id) if reachable else []
            undo.callback(lambda: [one.close() for one in bound])
            if bound:
                publications = tuple(one.publication for one in bound)
                holding = holding._replace(address=reachable[0].address, publications=publications)
            listening = None
            if self._servers(holding):
                listening = self._listen(wanted, namespace.descriptor)
                undo.callback(listening.close)
                holding = holding._replace(resolver=listening.address)
            self.store.hold(wanted.id, holding)
            if bound:
                self.bridges.firewall.publish(filter, holding.address, holding.publications)
            naming.announce(self.store, [self.store.find(endpoint.network) for endpoint in endpoints])
            helper = _start_helper(bound, holding.address, listening)
            links.close()
            filter.close()
            for one in bound:
                one.close()
            if listening is not None:
                listening.close()
            namespace.links.close()
            undo.pop_all()
        ports = shown(wanted.config, holding.publications)
        return Opened(namespace.descriptor, holding.endpoints, ports, helper, wanted.user_namespace)

    def close(self, container: str) -> None:
        """Give everything of a container back. Its interfaces go with its namespace. Idempotent."""
        holding = self.store.holding(container)
        if holding == Holding():
            return
        if holding.publications and holding.address:
            with suppress(OSError), open_filter() as filter:
                self.bridges.firewall.unpublish(filter, holding.address, holding.publications)
        for endpoint in holding.endpoints:
            if not endpoint.made:
                self.store.release_all(endpoint.network, container)
            for address in (endpoint.address, endpoint.address6):
                if address and self.store.holder(endpoint.network, address) == container:
                    self.store.release(endpoint.network, address)
        self.store.forget(container)
        naming.announce(self.store, self._known(holding.endpoints))

    def connect(
        self, text: str, container: tuple[str, str], pid: int, entry: Mapping[str, Any], names: tuple[str, ...]
    ) -> Endpoint:
        """Put a running container on one more network. Nothing is unfinished: see :meth:`settle`."""
        network = self.store.find(text)
        with Rtnetlink() as links, open_filter() as filter, Namespace.of(pid) as namespace:
            holding = self.store.holding(container[0])
            intended = Endpoint.intended(network, container, names)._replace(planned=free_name(namespace.links))
            # Whoever cleans up after this one, should it be killed, knows by it what there may be.
            self.store.hold(container[0], holding._replace(endpoints=(*holding.endpoints, intended)))
            plugging = Plugging(self.store, self.bridges, self._addresses, links, filter)
            try:
                endpoint = plugging.plug(network, intended, Settings.of(entry), namespace)
            except BaseException:
                self.store.hold(container[0], holding)
                raise
            set_default_routes([*holding.endpoints, endpoint], namespace)
        self.store.hold(container[0], holding._replace(endpoints=(*holding.endpoints, endpoint)))
        naming.announce(self.store, [network])
        return endpoint

    def settle(self, container: str, pid: int) -> None:
        """Take away what :meth:`connect` and :meth:`disconnect` have left of a running container that were killed."""
        holding = self.store.holding(container)
        unfinished = [endpoint for endpoint in holding.endpoints if not endpoint.made]
        if unfinished:
            self._take_away(container, pid, holding, unfinished)

    def disconnect(self, network_id: str, container: str, pid: int) -> None:
        """Take a running container off a network. Nothing when it is not on it."""
        holding = self.store.holding(container)
        gone = [endpoint for endpoint in holding.endpoints if endpoint.network == network_id]
        if not gone:
            return
        # Whoever goes on with it, should this one be killed, knows by it what there may be.
        leaving = tuple(endpoint.leaving() if endpoint in gone else endpoint for endpoint in holding.endpoints)
        self.store.hold(container, holding._replace(endpoints=leaving))
        self._take_away(container, pid, holding, gone)

    def _take_away(self, container: str, pid: int, holding: Holding, gone: Sequence[Endpoint]) -> None:
        left = tuple(endpoint for endpoint in holding.endpoints if endpoint not in gone)
        with ExitStack() as stack:
            links = stack.enter_context(Rtnetlink())
            namespace = None
            with suppress(OSError):  # it has just ended
                namespace = stack.enter_context(Namespace.of(pid))
            for endpoint in gone:
                with suppress(OSError):
                    links.delete_link(endpoint.link)
                if namespace is not None and self._is_on_parent(endpoint):
                    with suppress(OSError):
                        namespace.links.delete_link(endpoint.interface or endpoint.planned)
                self.store.release_all(endpoint.network, container)
            self.store.hold(container, self._without_ports(holding, gone)._replace(endpoints=left))
            if namespace is not None:
                set_default_routes(list(left), namespace)
        naming.announce(self.store, self._known(gone))

    def _is_on_parent(self, endpoint: Endpoint) -> bool:
        """Whether its interface has no other end on the host, with which it would go."""
        try:
            return self.store.find(endpoint.network).driver != BRIDGE
        except NoSuchNetwork:
            return False

    def names_at(self, container: str) -> str:
        """Address of the server for names that a running container asks; ``""`` for the host's."""
        holding = self.store.holding(container)
        if holding.resolver or naming.port(self.store) != naming.PORT:
            return holding.resolver
        return next(iter(self._servers(holding)), "")

    def _servers(self, holding: Holding) -> list[str]:
        """Addresses of the servers for names on the networks of a container."""
        if not naming.program():
            return []
        return [
            pool.gateway for one in self._known(holding.endpoints) if naming.has_names(one) and (pool := one.pool(4))
        ]

    def _without_ports(self, holding: Holding, gone: Sequence[Endpoint]) -> Holding:
        """Ports lead nowhere once the network that they led by is gone."""
        if holding.address not in {endpoint.address for endpoint in gone} or not holding.publications:
            return holding
        with suppress(OSError), open_filter() as filter:
            self.bridges.firewall.unpublish(filter, holding.address, holding.publications)
        return holding._replace(address="", publications=())

    def _listen(self, wanted: Wanted, namespace: int) -> Listening:
        """Sockets for names in the container's namespace; which servers there are is looked up at each question."""
        from lamina.network import resolver  # a container on the default network needs none

        return resolver.listen(
            namespace,
            [str(address) for address in wanted.host_config.get("Dns") or ()],
            lambda: self._servers(self.store.holding(wanted.id)),
            lambda: naming.port(self.store),
        )

    def bind(self, wanted: Wanted) -> list[Bound]:
        """Take the ports that a container publishes before it has a network."""
        known = [self.store.find(text) for text, _, _ in wanted.networks]
        reachable = [one for one in known if one.driver == BRIDGE and not one.internal]
        if not reachable:
            return []  # no way to it: they stay unpublished, as Docker does
        return self._bind(wanted, reachable[0], os.urandom(32).hex())

    def _bind(self, wanted: Wanted, network: Network, endpoint: str) -> list[Bound]:
        """:param endpoint: its id on ``network``, for messages."""
        ports = requests(wanted.config, wanted.host_config)
        binding = network.options.get(OPTION_HOST_BINDING) or ANY
        if binding != ANY:  # else all addresses of both versions
            ports = tuple(port if port.host else port._replace(host=binding) for port in ports)
        if not ports:
            return []

        def is_ours(publication: Publication) -> bool:
            return any(overlaps(publication, other) for _, one in self.store.holdings() for other in one.publications)

        return bind(ports, f"{wanted.name} ({endpoint})", is_ours)

    def _known(self, endpoints: Sequence[Endpoint]) -> list[Network]:
        found = []
        for endpoint in endpoints:
            with suppress(NoSuchNetwork):
                found.append(self.store.find(endpoint.network))
        return found


def _start_helper(bound: Sequence[Bound], address: str, listening: Listening | None) -> int:
    if not bound and listening is None:
        return 0
    from lamina.network import proxy  # most containers have nothing for it to do

    return proxy.start(bound, address, listening)
