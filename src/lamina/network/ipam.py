"""Giving addresses: the lowest that is free, or the one that was asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from lamina.errors import InvalidArgument
from lamina.network.addresses import Subnet, is_address, number, text_of
from lamina.network.contract import AddressInUse, Network, NoAddressLeft, Pool
from lamina.network.ranges import usable
from lamina.network.store import NetworkStore
from lamina.typing import Any

#: How many addresses of a range of version 6 are looked at: nobody has so many containers.
_LIMIT = 1 << 16


def check_endpoint(network: Network, endpoint: Mapping[str, Any]) -> None:
    """Refuse what a network can't give, before anything is done. Raises :class:`InvalidArgument`.

    :param endpoint: an entry of ``NetworkSettings.Networks``.
    """
    wanted = endpoint.get("IPAMConfig") or {}
    versions = [number for number, member in ((4, "IPv4Address"), (6, "IPv6Address")) if wanted.get(member)]
    if network.predefined:
        if versions:
            raise InvalidArgument("user specified IP address is supported on user defined networks only")
        if endpoint.get("Aliases"):
            raise InvalidArgument("network-scoped alias is supported only for containers in user defined networks")
        return
    chosen = {6 if ":" in pool.subnet else 4 for pool in network.pools if not pool.automatic}
    if not chosen.issuperset(versions):
        raise InvalidArgument(
            "user specified IP address is supported only when connecting to networks with user configured subnets"
        )


class Addresses:
    """Addresses of the networks in one store.

    :param alive: whether a container's monitor lives; what a dead one has is given to others.
    """

    def __init__(self, store: NetworkStore, alive: Callable[[str], bool]) -> None:
        self._store = store
        self._alive = alive

    def take(self, network: Network, pool: Pool, container: str, wanted: str = "") -> str:
        """An address of ``pool`` for a container.

        :raises AddressInUse: ``wanted`` is another's. :raises NoAddressLeft: all are.
        """
        if wanted:
            return self._wanted(network, wanted, container)
        address = self._lowest(network, pool, container)
        if not address and self.reclaim(network):
            address = self._lowest(network, pool, container)
        if not address:
            raise NoAddressLeft(pool.range or pool.subnet)
        return address

    def reclaim(self, network: Network) -> int:
        """Take back what dead containers have; how many addresses."""
        count = 0
        for address in self._store.taken(network.id):
            if is_address(address) and not self._alive(self._store.holder(network.id, address)):
                self._store.release(network.id, address)
                count += 1
        return count

    def _wanted(self, network: Network, wanted: str, container: str) -> str:
        value, version = number(wanted), 6 if ":" in wanted else 4
        address = text_of(value, version)
        subnets = [Subnet.parse(pool.subnet) for pool in network.pools]
        if not any(subnet.version == version and subnet.holds(value) for subnet in subnets):
            raise InvalidArgument(f"Invalid address {wanted}: It does not belong to any of this network's subnets")
        if address in _reserved(network.pools):
            raise AddressInUse()
        if self._store.lease(network, address, container):
            return address
        if not self._alive(self._store.holder(network.id, address)):
            self._store.release(network.id, address)
            if self._store.lease(network, address, container):
                return address
        raise AddressInUse()

    def _lowest(self, network: Network, pool: Pool, container: str) -> str:
        subnet = Subnet.parse(pool.subnet)
        inside = Subnet.parse(pool.range) if pool.range else subnet
        taken = self._store.taken(network.id) | _reserved(network.pools)
        six = subnet.version == 6
        numbers = {number(address) for address in taken if (":" in address) == six and is_address(address)}
        for value in usable(subnet, inside)[:_LIMIT]:
            if value not in numbers:
                address = text_of(value, subnet.version)
                if self._store.lease(network, address, container):
                    return address
        return ""


def _reserved(pools: Iterable[Pool]) -> set[str]:
    found = set()
    for pool in pools:
        found.add(pool.gateway)
        found.update(text_of(number(address), 6 if ":" in address else 4) for address in pool.reserved.values())
    return found - {""}
