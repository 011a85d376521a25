"""Bridges on the host: there when they are needed, and gone with their network."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator

from lamina import filelock
from lamina.contextlib import contextmanager, suppress
from lamina.dataroot import DataRoot
from lamina.digest import Digest
from lamina.errors import Denied
from lamina.linux import userns
from lamina.linux.netlink import Rtnetlink
from lamina.linux.nftables import Nfnetlink
from lamina.network import ranges
from lamina.network.addresses import Subnet
from lamina.network.contract import (
    BRIDGE,
    OPTION_ICC,
    OPTION_MASQUERADE,
    Network,
    NotPermitted,
    Pool,
)
from lamina.network.firewall import FilterFailed, Firewall, Member, open_filter, set_forwarding
from lamina.network.store import NetworkStore

#: Held while a range of addresses is chosen and a bridge is made: other roots on this host choose too.
_HOST_LOCK = "/run/lamina/network"
_ALIAS = "lamina "


class Bridges:
    """The bridges of one data root.

    What it makes carries the root's path as its alias, by which it is found again when the root was deleted.

    :param default: the default network's own range.
    :ivar pools: where networks get their ranges from, see :func:`lamina.network.ranges.chosen`.
    """

    def __init__(
        self,
        root: DataRoot,
        store: NetworkStore,
        *,
        is_default: bool,
        pools: tuple[tuple[str, int], ...] = (),
        default: Pool | None = None,
    ) -> None:
        self.pools = pools
        self._default = default
        self._root = root
        self._store = store
        self.firewall = Firewall("lamina" if is_default else table_of(root.path))

    def ensure(self, network: Network, links: Rtnetlink, filter: Nfnetlink) -> tuple[Network, int]:
        """The network with its range of addresses, and its bridge's index.

        Quick when it is all there. Raises :class:`NotPermitted` and what :mod:`ranges` and :mod:`firewall` raise.
        """
        link = links.link(network.bridge)
        if link is not None and link.up and network.pools and self.firewall.ready(filter, network.bridge):
            return network, link.number
        with self._host():
            return self._bring_up(self._store.find(network.id), links, filter)

    def remove(self, network: Network) -> None:
        """Take the bridge, if it is one that was made here, and its rules away. Idempotent."""
        with self._host(), Rtnetlink() as links:
            self._take_down(network, links)

    def rest(self, network: Network) -> None:
        """The same unless somebody has an address there. The network stays, and its bridge is made when it is needed.

        Where this process may not, nothing happens.
        """
        with suppress(NotPermitted), self._host(), Rtnetlink() as links:
            if not self._store.taken(network.id):
                self._take_down(network, links)

    def _take_down(self, network: Network, links: Rtnetlink) -> None:
        link = links.link(network.bridge)
        if link is None:
            return
        if link.alias.startswith(_ALIAS):
            with suppress(OSError):
                links.delete_link(network.bridge)
        self.firewall.forget(network.bridge)
        self._refresh(links, without=network.id)

    def settle(self) -> None:
        """Choose the default network's range where it has none yet: Docker's has the first one, whoever comes later."""
        network = self._store.predefined("bridge")
        if not network.pools:
            with self._host(), Rtnetlink() as links:
                self._with_ranges(self._store.find(network.id), links)

    def reserve(self, network: Network) -> Network:
        """Make a new network's bridge: with the range it asks for, or the next free one."""
        with self._host(), Rtnetlink() as links, open_filter() as filter:
            return self._bring_up(network, links, filter)[0]

    def _bring_up(self, network: Network, links: Rtnetlink, filter: Nfnetlink) -> tuple[Network, int]:
        network = self._with_ranges(network, links)
        try:
            link = links.link(network.bridge)
            if link is None:
                self._make(network, links)
            elif not link.up:
                links.set_up(link.number)
            if link is None or not self.firewall.ready(filter, network.bridge):
                self._refresh(links, extra=network)
        except OSError as error:
            if error.errno in (errno.EPERM, errno.EACCES):
                raise NotPermitted(f"{error.filename}: {error.strerror}") from error
            raise
        return network, links.index(network.bridge)

    def _with_ranges(self, network: Network, links: Rtnetlink) -> Network:
        exists = links.link(network.bridge) is not None
        if network.pools and exists:
            return network
        taken = ranges.of_host(links)
        for other in self._store.all():
            if other.id != network.id and not other.config_only:
                taken |= ranges.of_pools(other.pools)
        if network.predefined and self._default is not None:
            network = network._replace(pools=(ranges.complete(self._default, taken),))
            self._store.write(network)
            return network
        if network.predefined and network.pools and not exists:
            subnets = ranges.of_pools(network.pools)
            if any(subnet.overlaps(other) for subnet in subnets for other in taken):
                network = network._replace(pools=())  # somebody else took it while we were away
        if not network.pools:
            network = network._replace(pools=(ranges.next_free(taken, self.pools),))
            self._store.write(network)
        return network

    def _make(self, network: Network, links: Rtnetlink) -> None:
        _collect(links)
        mac = b"\x02\x42" + os.urandom(4)
        links.add_bridge(network.bridge, mtu=network.mtu, alias=_ALIAS + self._root.path, mac=mac)
        try:
            index = links.index(network.bridge)
            for pool in network.pools:
                subnet = Subnet.parse(pool.subnet)
                broadcast = subnet.last.to_bytes(4, "big") if subnet.version == 4 and subnet.prefix < 31 else b""
                links.add_address(index, pool.gateway, subnet.prefix, broadcast=broadcast)
                if not network.internal:
                    set_forwarding(subnet.version)
            links.set_up(index)
        except BaseException:
            with suppress(OSError):
                links.delete_link(network.bridge)
            raise

    def _refresh(self, links: Rtnetlink, *, extra: Network | None = None, without: str = "") -> None:
        """Make the table afresh from what is there."""
        networks = {network.id: network for network in self._store.all() if network.driver == BRIDGE}
        if extra is not None:
            networks[extra.id] = extra
        networks.pop(without, None)
        up = {link.name for link in links.links()}
        members = [_member(network) for network in networks.values() if network.bridge in up and network.pools]
        if not members:
            self.firewall.remove_table()
            return
        before = dict(self._store.holdings())
        self.firewall.rebuild(members, list(before.values()))
        with open_filter() as filter:  # those that ended meanwhile
            for container in before.keys() - dict(self._store.holdings()).keys():
                self.firewall.unpublish(filter, before[container].address, before[container].publications)

    @contextmanager
    def _host(self) -> Iterator[None]:
        with self._root.lock("networks"):
            if userns.has_joined():  # the user's own network
                yield
                return
            try:
                descriptor = filelock.open_lock(_HOST_LOCK)
            except OSError as error:
                raise NotPermitted(f"{_HOST_LOCK}: {error.strerror}") from error
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                yield
            finally:
                os.close(descriptor)


def _member(network: Network) -> Member:
    return Member(
        network.bridge,
        tuple(pool.subnet for pool in network.pools),
        network.internal,
        network.options.get(OPTION_ICC, "true") != "false",
        network.options.get(OPTION_MASQUERADE, "true") != "false",
    )


def _collect(links: Rtnetlink) -> None:
    """Remove bridges of roots that do not exist any more: their ranges are free again."""
    for link in list(links.links()):
        path = link.alias.removeprefix(_ALIAS)
        if path != link.alias and link.kind == "bridge" and path.startswith("/") and not os.path.isdir(path):
            with suppress(OSError):
                links.delete_link(link.name)
            with suppress(FilterFailed):
                Firewall(table_of(path)).remove_table()


def table_of(path: str) -> str:
    """Name of the table of a root that is not the default one."""
    return "lamina_" + Digest.of(path.encode(errors="surrogateescape")).hex[:10]


def interface_name(options: dict[str, str], key: str) -> str:
    """A name that an interface can have. Raises :class:`Denied`."""
    name = options.get(key, "")
    if name and (len(name.encode()) > 15 or "/" in name or name in (".", "..") or any(c.isspace() for c in name)):
        raise Denied(f"invalid interface name {name}")
    return name
