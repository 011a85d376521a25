"""A container's network namespace and its places on networks."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping, Sequence

from lamina.contextlib import contextmanager, suppress
from lamina.errors import Denied, InvalidArgument, Unsupported
from lamina.linux import netns
from lamina.linux.netlink import IPVLAN_MODES, MACVLAN_MODES, Rtnetlink
from lamina.linux.nftables import Nfnetlink
from lamina.network.addresses import Subnet, is_address, mac_bytes, mac_of, number
from lamina.network.bridges import Bridges
from lamina.network.contract import (
    BRIDGE,
    IPVLAN,
    MACVLAN,
    OPTION_ICC,
    OPTION_IPVLAN_MODE,
    OPTION_MACVLAN_MODE,
    OPTION_PARENT,
    Endpoint,
    Network,
    NotPermitted,
)
from lamina.network.ipam import Addresses
from lamina.network.store import NetworkStore
from lamina.typing import Any, NamedTuple

_LOOPBACK = 1
#: How often an interface is put on a bridge that goes away meanwhile.
_ATTEMPTS = 2
_IPV6_SWITCHES = ("all", "default")


#: By whether it is of version 6: the range of link-local addresses, and the prefix that an interface has with one.
_LINK_LOCAL = {False: ("169.254.0.0/16", 16), True: ("fe80::/10", 64)}


class Settings(NamedTuple):
    """What a container wants on one network.

    :ivar address: that address and no other; likewise for version 6 and the hardware address.
    :ivar link_local: addresses besides.
    """

    address: str = ""
    address6: str = ""
    mac: str = ""
    link_local: tuple[str, ...] = ()

    @classmethod
    def of(cls, endpoint: Mapping[str, Any], mac: str = "") -> Settings:
        """From an entry of ``NetworkSettings.Networks``. Raises :class:`InvalidArgument`."""
        wanted = endpoint.get("IPAMConfig") or {}
        address, address6 = str(wanted.get("IPv4Address") or ""), str(wanted.get("IPv6Address") or "")
        return cls(address, address6, mac, _link_local(wanted.get("LinkLocalIPs") or ()))


def _link_local(texts: Sequence[str]) -> tuple[str, ...]:
    if not all(is_address(text) for text in texts):
        raise InvalidArgument(f"Invalid link-local IP address: [{' '.join(texts)}]")
    for text in texts:
        if not Subnet.parse(_LINK_LOCAL[":" in text][0]).holds(number(text)):
            raise InvalidArgument(f"invalid link local IP address: {text}")
    return tuple(texts)


class Namespace:
    """A network namespace that is open, and a way to its interfaces."""

    def __init__(self, descriptor: int, links: Rtnetlink) -> None:
        self.descriptor = descriptor
        self.links = links

    @classmethod
    def fresh(cls, user_namespace: int = -1) -> Namespace:
        """A new one, to be closed. Raises :class:`NotPermitted`.

        :param user_namespace: descriptor of the one that it is to belong to; -1 for the caller's.
        """
        try:
            with netns.fresh() if user_namespace < 0 else netns.fresh_in(user_namespace) as descriptor:
                links = Rtnetlink()
                _switch_ipv6(False)
                try:
                    links.set_up(_LOOPBACK)
                except BaseException:
                    links.close()
                    raise
        except PermissionError as error:
            raise NotPermitted(f"{error.filename or 'unshare'}: {error.strerror}") from error
        return cls(descriptor, links)

    def close(self) -> None:
        """It lasts while somebody is in it."""
        self.links.close()
        os.close(self.descriptor)

    @classmethod
    @contextmanager
    def of(cls, pid: int) -> Iterator[Namespace]:
        """That of a process. Raises ``FileNotFoundError`` when it has ended."""
        descriptor = netns.open_of(pid)
        try:
            with netns.entered(descriptor):
                links = Rtnetlink()
            with links:
                yield cls(descriptor, links)
        finally:
            os.close(descriptor)

    def allow_ipv6(self) -> None:
        with netns.entered(self.descriptor):
            _switch_ipv6(True)


class Plugging(NamedTuple):
    """Who puts containers on networks, and with what."""

    store: NetworkStore
    bridges: Bridges
    addresses: Addresses
    links: Rtnetlink
    filter: Nfnetlink

    def plug(self, network: Network, intended: Endpoint, wanted: Settings, namespace: Namespace) -> Endpoint:
        """Give a container an interface on a network; all or nothing. Routes are not set."""
        for _ in range(_ATTEMPTS):
            try:
                return self._plug(network, intended, wanted, namespace)
            except OSError as error:
                if error.errno not in (errno.ENODEV, errno.EINVAL) or network.driver != BRIDGE:
                    raise  # else somebody took the idle bridge down just now
        return self._plug(network, intended, wanted, namespace)

    def _plug(self, network: Network, endpoint: Endpoint, wanted: Settings, namespace: Namespace) -> Endpoint:
        bridge = 0
        if network.config_only:
            raise Denied("cannot create endpoint on configuration-only network")
        if network.driver == BRIDGE:
            network, bridge = self.bridges.ensure(network, self.links, self.filter)
        try:
            endpoint = self._with_addresses(network, endpoint, wanted)
            endpoint = endpoint._replace(interface=endpoint.planned or free_name(namespace.links), planned="")
            if network.driver == BRIDGE:
                endpoint = self._on_bridge(network, endpoint, bridge, namespace)
            else:
                self._on_parent(network, endpoint, namespace)
            _configure(endpoint, wanted.link_local, namespace)
        except BaseException:
            self.release(endpoint)
            raise
        return endpoint

    def release(self, endpoint: Endpoint) -> None:
        """Give the addresses back. Idempotent."""
        for address in (endpoint.address, endpoint.address6):
            if address and self.store.holder(endpoint.network, address) == endpoint.container:
                self.store.release(endpoint.network, address)

    def _with_addresses(self, network: Network, endpoint: Endpoint, wanted: Settings) -> Endpoint:
        pool, pool6 = network.pool(4), network.pool(6)
        if wanted.mac:
            mac_bytes(wanted.mac)
        if pool is not None:
            address = self.addresses.take(network, pool, endpoint.container, wanted.address)
            endpoint = endpoint._replace(
                address=address,
                prefix=Subnet.parse(pool.subnet).prefix,
                gateway=pool.gateway,
                mac=wanted.mac or mac_of(address),
            )
        if pool6 is not None and network.ipv6:
            try:
                address6 = self.addresses.take(network, pool6, endpoint.container, wanted.address6)
            except BaseException:
                self.release(endpoint)
                raise
            prefix6 = Subnet.parse(pool6.subnet).prefix
            endpoint = endpoint._replace(address6=address6, prefix6=prefix6, gateway6=pool6.gateway)
        if network.driver == IPVLAN:  # all share their parent's
            endpoint = endpoint._replace(mac="")
        elif not endpoint.mac:
            endpoint = endpoint._replace(mac=wanted.mac or "02:42:" + os.urandom(4).hex(":"))
        return endpoint

    def _on_bridge(self, network: Network, endpoint: Endpoint, bridge: int, namespace: Namespace) -> Endpoint:
        self.links.add_veth(
            endpoint.link,
            endpoint.interface,
            bridge=bridge,
            namespace=namespace.descriptor,
            mac=mac_bytes(endpoint.mac),
            mtu=network.mtu,
        )
        if network.options.get(OPTION_ICC) == "false":
            self.links.isolate(self.links.index(endpoint.link))
        if network.internal:
            endpoint = endpoint._replace(gateway="", gateway6="")
        return endpoint._replace(host_interface=endpoint.link)

    def _on_parent(self, network: Network, endpoint: Endpoint, namespace: Namespace) -> None:
        options = network.options
        if network.driver == MACVLAN:
            mode = MACVLAN_MODES[options.get(OPTION_MACVLAN_MODE) or "bridge"]
        else:
            mode = IPVLAN_MODES[options.get(OPTION_IPVLAN_MODE) or "l2"]
        parent = options.get(OPTION_PARENT) or _dummy_name(network)
        try:
            index = self.links.index(parent)
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise
            if options.get(OPTION_PARENT):
                raise InvalidArgument(f"-o parent={parent}: the interface does not exist on the host") from None
            self.links.add_dummy(parent, f"lamina network {network.name}")
            index = self.links.index(parent)
        with suppress(OSError):
            self.links.set_up(index)
        mac = mac_bytes(endpoint.mac) if endpoint.mac else b""
        try:
            self.links.add_vlan(
                endpoint.interface,
                network.driver,
                mode,
                parent=index,
                namespace=namespace.descriptor,
                mac=mac,
                mtu=network.mtu,
            )
        except OSError as error:
            if error.errno == errno.EOPNOTSUPP:
                raise Unsupported(f"the kernel has no {network.driver} interfaces") from error
            raise


def set_default_routes(endpoints: list[Endpoint], namespace: Namespace) -> None:
    """The first network that leads somewhere has the default route."""
    for version, field in ((4, "gateway"), (6, "gateway6")):
        for endpoint in endpoints:
            gateway = getattr(endpoint, field)
            if gateway:
                index = namespace.links.index(endpoint.interface)
                with suppress(FileExistsError):
                    namespace.links.add_default_route(index, gateway, version=version)
                break


def _configure(endpoint: Endpoint, link_local: Sequence[str], namespace: Namespace) -> None:
    links = namespace.links
    index = links.index(endpoint.interface)
    addresses = [(endpoint.address, endpoint.prefix), (endpoint.address6, endpoint.prefix6)]
    addresses += [(address, _LINK_LOCAL[":" in address][1]) for address in link_local]
    if any(":" in address for address, _ in addresses):
        namespace.allow_ipv6()
    for address, prefix in addresses:
        if address:
            links.add_address(index, address, prefix, broadcast=_broadcast(address, prefix))
    links.set_up(index)


def _broadcast(address: str, prefix: int) -> bytes:
    if ":" in address or prefix >= 31:
        return b""
    return Subnet.parse(f"{address}/{prefix}").last.to_bytes(4, "big")


def free_name(links: Rtnetlink) -> str:
    """What the next interface in a namespace is called."""
    number = 0
    while links.link(f"eth{number}") is not None:
        number += 1
    return f"eth{number}"


def _dummy_name(network: Network) -> str:
    """What Docker calls the parent that it makes when none is given."""
    return f"dm-{network.id[:12]}"


def _switch_ipv6(on: bool) -> None:
    """Docker's containers have no version 6, not even on the loopback, unless a network of theirs has."""
    for name in _IPV6_SWITCHES:
        with suppress(OSError):
            descriptor = os.open(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(descriptor, b"0" if on else b"1")
            finally:
                os.close(descriptor)
