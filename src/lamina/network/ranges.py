"""Which ranges of addresses a network gets: those somebody chose, checked, or the next free of Docker's defaults."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from lamina.errors import InvalidArgument
from lamina.linux.netlink import Rtnetlink
from lamina.network.addresses import Subnet, is_address, number, text_of, version
from lamina.network.contract import NoPoolLeft, Pool, PoolOverlaps

_AF_INET, _AF_INET6 = 2, 10


def defaults() -> Iterator[Subnet]:
    """Docker's local pools in their order: 172.17.0.0/16 to 172.31.0.0/16, then 192.168.0.0/16 in parts of /20."""
    for second in range(17, 32):
        yield Subnet.parse(f"172.{second}.0.0/16")
    yield from Subnet.parse("192.168.0.0/16").split(20)


def of_host(links: Rtnetlink) -> set[Subnet]:
    """Ranges that the host has addresses in or routes to."""
    found = set()
    for family in (_AF_INET, _AF_INET6):
        for route in (*links.routes(family), *links.addresses(family)):
            if route.prefix:
                found.add(Subnet.of(route.destination, route.prefix))
    return found


def of_pools(pools: Iterable[Pool]) -> set[Subnet]:
    return {Subnet.parse(pool.subnet) for pool in pools if pool.subnet}


def chosen(pools: Iterable[tuple[str, int]]) -> Iterator[Subnet]:
    """Ranges of ``default-address-pools``, each cut into parts with the prefix beside it."""
    for base, prefix in pools:
        yield from Subnet.parse(base).split(prefix)


def next_free(taken: Collection[Subnet], pools: Iterable[tuple[str, int]] = ()) -> Pool:
    """Raises :class:`NoPoolLeft`.

    :param pools: see :func:`chosen`; none for Docker's own.
    """
    for subnet in chosen(pools) if pools else defaults():
        if not any(subnet.overlaps(other) for other in taken):
            return Pool(str(subnet), text_of(subnet.base + 1, 4), automatic=True)
    raise NoPoolLeft()


def complete(pool: Pool, taken: Collection[Subnet]) -> Pool:
    """A range that somebody gave, checked, with a gateway.

    :raises InvalidArgument: it makes no sense. :raises PoolOverlaps: another network has a part of it.
    """
    subnet = Subnet.parse(pool.subnet)
    if any(subnet.overlaps(other) for other in taken):
        raise PoolOverlaps()
    inside = _within(pool.range, subnet) if pool.range else subnet
    reserved = {number(_in(address, subnet)) for address in pool.reserved.values()}
    if pool.gateway:
        return pool._replace(subnet=str(subnet), gateway=_in(pool.gateway, subnet))
    for value in usable(subnet, inside):
        if value not in reserved:
            return pool._replace(subnet=str(subnet), gateway=text_of(value, subnet.version), chosen=True)
    raise InvalidArgument(f"no address is left for a gateway in {pool.subnet}")


def usable(subnet: Subnet, inside: Subnet) -> range:
    """Numbers of the addresses of ``inside`` that hosts of ``subnet`` may have: not the first, not version 4's last."""
    first = max(inside.base, subnet.base + 1)
    last = min(inside.last, subnet.last - 1 if subnet.version == 4 and subnet.size > 2 else subnet.last)
    return range(first, last + 1)


def _within(text: str, subnet: Subnet) -> Subnet:
    inside = Subnet.parse(text)
    if inside.version != subnet.version or not (subnet.holds(inside.base) and subnet.holds(inside.last)):
        raise InvalidArgument(f"invalid subnet {text}: it is not part of {subnet}")
    return inside


def _in(text: str, subnet: Subnet) -> str:
    if not is_address(text) or version(text) != subnet.version or not subnet.holds(number(text)):
        raise InvalidArgument(f"no matching subnet for gateway {text}")
    return text
