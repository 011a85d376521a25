"""Making a network, as ``docker network create`` checks and completes it."""

from __future__ import annotations

import os

from lamina.characters import is_name
from lamina.dataroot import DataRoot
from lamina.errors import Denied, InvalidArgument, NotFound, Unavailable
from lamina.linux.netlink import IPVLAN_MODES, MACVLAN_MODES, Rtnetlink
from lamina.network import ranges
from lamina.network.addresses import Subnet, is_address
from lamina.network.bridges import Bridges, interface_name
from lamina.network.contract import (
    BRIDGE,
    HOST,
    IPVLAN,
    MACVLAN,
    NONE,
    OPTION_BRIDGE_NAME,
    OPTION_HOST_BINDING,
    OPTION_IPVLAN_MODE,
    OPTION_MACVLAN_MODE,
    OPTION_PARENT,
    PREDEFINED,
    Network,
    NetworkExists,
    NoSuchNetwork,
    Pool,
    PredefinedNetwork,
    Request,
)
from lamina.network.store import NetworkStore, bridge_name
from lamina.oci import timestamp

#: Docker's driver for networks of several hosts.
_OVERLAY = "overlay"


def make(root: DataRoot, store: NetworkStore, bridges: Bridges, request: Request) -> Network:
    """Make it, with its bridge; nothing is left of one that can't be made.

    :raises NetworkExists: the name is taken. :raises PoolOverlaps: its range is.
    """
    _check_name(request.name)
    if request.ingress or request.scope or request.config_only or request.config_from:
        _check_scope(request)
    root.require_writable()
    with root.lock("networks"):
        try:
            if store.find(request.name).name == request.name:
                raise NetworkExists(request.name)
        except NoSuchNetwork:
            pass
        if request.config_from:
            request = _configured(store, request)
        if request.config_only:
            return _configuration(store, request)
        _check(request)
        id = os.urandom(32).hex()
        network = Network(
            id,
            request.name,
            request.driver,
            timestamp.now(),
            internal=request.internal,
            ipv6=request.ipv6,
            attachable=request.attachable,
            options=dict(request.options),
            labels=dict(request.labels),
            ipam_driver=request.ipam_driver,
            ipam_options=dict(request.ipam_options),
            config_from=request.config_from,
        )
        bridges.settle()
        network = network._replace(pools=_pools(store, network, request, bridges.pools))
        if network.driver == BRIDGE:
            name = interface_name(network.options, OPTION_BRIDGE_NAME) or bridge_name(id)
            network = network._replace(bridge=name)
        store.write(network)
        try:
            return bridges.reserve(network) if network.driver == BRIDGE else network
        except BaseException:
            store.remove(network)
            raise


def _check_name(name: str) -> None:
    if not is_name(name, shortest=1):
        raise InvalidArgument(
            f'invalid network name "{name}": only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed'
            if name
            else "network name cannot be empty"
        )
    if name in PREDEFINED or name == "default":
        raise PredefinedNetwork(f"operation is not permitted on predefined {name} network")


def _check_scope(request: Request) -> None:
    """What Docker says of networks that belong to several hosts, and of settings that networks share."""
    if request.config_only:
        if request.ingress or request.internal or request.attachable or request.scope:
            raise Denied(
                "configuration network can only contain network specific fields. Network operator fields like "
                "[ ingress | internal | attachable | scope ] are not supported."
            )
        if request.config_from:
            raise Denied("a configuration network cannot depend on another configuration network")
    if request.ingress:
        raise Denied("Ingress network can only be global scope network")
    if request.scope == "swarm":
        raise Denied("cannot create a swarm scoped network when swarm is not active")
    if request.scope not in ("", "local"):
        raise _no_swarm()
    if not request.config_from:
        return
    chosen = (request.ipam_options, request.pools, request.ipv6, request.labels, request.ipam_driver != "default")
    if any(chosen):
        raise Denied(
            "user specified configurations are not supported if the network depends on a configuration network"
        )
    if request.options:
        raise Denied("network driver options are not supported if the network depends on a configuration network")


def _no_swarm() -> Unavailable:
    return Unavailable("This node is not a swarm manager. There is no swarm: networks are those of one host.")


def _configured(store: NetworkStore, request: Request) -> Request:
    """The request with the settings of the network that it names."""
    for other in store.all():
        if other.config_only and other.name == request.config_from:
            return request._replace(
                pools=other.pools,
                ipv6=other.ipv6,
                options=other.options,
                labels=other.labels,
                ipam_driver=other.ipam_driver,
                ipam_options=other.ipam_options or {},
            )
    raise NotFound(f'configuration network "{request.config_from}" does not exist')


def _configuration(store: NetworkStore, request: Request) -> Network:
    """Keep settings for others, which are checked when a network is made with them. The caller holds the lock."""
    network = Network(
        os.urandom(32).hex(),
        request.name,
        NONE,
        timestamp.now(),
        pools=request.pools,
        ipv6=request.ipv6,
        options=dict(request.options),
        labels=dict(request.labels),
        ipam_driver=request.ipam_driver,
        ipam_options=dict(request.ipam_options),
        config_only=True,
    )
    store.write(network)
    return network


def _check(request: Request) -> None:
    if request.driver in (HOST, NONE):
        raise Denied(f'only one instance of "{request.driver}" network is allowed')
    if request.driver == _OVERLAY:
        raise _no_swarm()
    if request.driver not in (BRIDGE, MACVLAN, IPVLAN):
        raise NotFound(f'plugin "{request.driver}" not found')
    for key, modes in ((OPTION_MACVLAN_MODE, MACVLAN_MODES), (OPTION_IPVLAN_MODE, IPVLAN_MODES)):
        mode = request.options.get(key)
        if mode and mode not in modes:
            raise InvalidArgument(f"unknown {key.replace('_mode', '')} mode {mode}")
    if request.ipam_driver != "default":
        raise NotFound(f'plugin "{request.ipam_driver}" not found')
    binding = request.options.get(OPTION_HOST_BINDING)
    if binding and not is_address(binding):
        raise InvalidArgument(f"failed to parse {OPTION_HOST_BINDING} value: {binding} (nil ip)")
    interface_name(request.options, OPTION_PARENT)
    Network("", "", "", "", options=request.options).mtu  # noqa: B018 - raises when it is no number


def _pools(
    store: NetworkStore, network: Network, request: Request, pools: tuple[tuple[str, int], ...]
) -> tuple[Pool, ...]:
    """Its ranges, checked, or the next free one of ``pools``."""
    taken: set[Subnet] = set()
    for other in store.all():
        if not other.config_only:
            taken |= ranges.of_pools(other.pools)
    found = []
    for pool in request.pools:
        if not pool.subnet:
            raise InvalidArgument("every ip-range or gateway must have a corresponding subnet")
        found.append(ranges.complete(pool, taken))
        taken.add(Subnet.parse(pool.subnet))
    versions = {Subnet.parse(pool.subnet).version for pool in found}
    if 4 not in versions:
        with Rtnetlink() as links:
            found.insert(0, ranges.next_free(taken | ranges.of_host(links), pools))
    if request.ipv6 and 6 not in versions:
        # A range of our own from the space for private networks (RFC 4193), different for every network.
        own = f"fd{network.id[:2]}:{network.id[2:6]}:{network.id[6:10]}::/64"
        found.append(ranges.complete(Pool(own), taken)._replace(chosen=False, automatic=True))
    return tuple(found)
