"""The packet filter's part: one table per data root, named ``lamina`` for the default one.

::

    set bridges          names of this root's bridges
    set local            bridge . bridge, for bridges whose containers may talk to each other
    set internal         bridges that lead nowhere
    set masqueraded4/6   ranges of addresses that nobody outside knows
    map any              protocol . port -> address . port, for ports published on all addresses
    map one              address . protocol . port -> address . port, for ports published on one

What enters by one of the bridges is not redirected: a container that calls a published port reaches the host's own
socket there, which the container's `proxy` holds, and so do the host's own calls to ``127.0.0.1`` and ``::1``. So no
address of the loopback network is ever routed, and no bridge has to send packets back where they came from.

A table can be gone at any time (``nft flush ruleset``); every start looks and makes it again with all that is in use.
Nothing is changed outside of it but for one thing: where another program's ``ip filter FORWARD`` drops what it does not
know (dockerd's does), an accept there for each bridge, because accepting elsewhere does not help.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterable, Iterator, Sequence

from lamina.contextlib import suppress
from lamina.errors import SystemFailure, Unsupported
from lamina.linux import nftables
from lamina.linux.netlink import attributes
from lamina.linux.nftables import INET, IPV4, Element, Nfnetlink, part
from lamina.network.addresses import packed
from lamina.network.contract import ANY, Holding, Publication
from lamina.typing import NamedTuple

#: `linux/in.h`.
_PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132}
_RULE_HANDLE = 3


class FilterUnavailable(Unsupported):
    """The kernel or the library for packet filtering is missing."""


class FilterFailed(SystemFailure):
    """The packet filter refused the rules."""


class Member(NamedTuple):
    """A bridge that is up, as the table knows it."""

    bridge: str
    subnets: tuple[str, ...]
    internal: bool
    together: bool
    masquerade: bool


def table_text(table: str, members: Iterable[Member], holdings: Iterable[Holding]) -> str:
    """Commands that make the whole table afresh."""
    lines = [
        f"add table inet {table}",
        f"delete table inet {table}",
        f"""table inet {table} {{
    set bridges {{ type ifname; }}
    set local {{ type ifname . ifname; }}
    set internal {{ type ifname; }}
    set masqueraded4 {{ type ipv4_addr; flags interval; }}
    set masqueraded6 {{ type ipv6_addr; flags interval; }}
    map any {{ type inet_proto . inet_service : ipv4_addr . inet_service; }}
    map one {{ type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }}
    chain prerouting {{
        type nat hook prerouting priority dstnat; policy accept;
        iifname @bridges accept
        fib daddr type local dnat ip to ip daddr . meta l4proto . th dport map @one
        fib daddr type local dnat ip to meta l4proto . th dport map @any
    }}
    chain output {{
        type nat hook output priority -100; policy accept;
        ip daddr 127.0.0.0/8 accept
        fib daddr type local dnat ip to ip daddr . meta l4proto . th dport map @one
        fib daddr type local dnat ip to meta l4proto . th dport map @any
    }}
    chain postrouting {{
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr @masqueraded4 oifname != @bridges masquerade
        ip6 saddr @masqueraded6 oifname != @bridges masquerade
    }}
    chain forward {{
        type filter hook forward priority filter; policy accept;
        oifname @bridges ct state established,related accept
        iifname @bridges ct state established,related accept
        iifname . oifname @local accept
        iifname @bridges oifname @bridges drop
        iifname @internal drop
        oifname @internal drop
        oifname @bridges ct status dnat accept
        oifname @bridges drop
    }}
}}""",
    ]
    lines += [_member_text(table, member) for member in members]
    for holding in holdings:
        for one in _redirected(holding.publications):
            key, name = f"{one.protocol} . {one.host_port}", "any"
            if one.host != ANY:
                key, name = f"{one.host} . {key}", "one"
            lines.append(f"add element inet {table} {name} {{ {key} : {holding.address} . {one.port} }}")
    return "\n".join(lines)


def _member_text(table: str, member: Member) -> str:
    quoted = f'"{member.bridge}"'
    elements = [("bridges", quoted)]
    if member.together:
        elements.append(("local", f"{quoted} . {quoted}"))
    if member.internal:
        elements.append(("internal", quoted))
    if member.masquerade and not member.internal:
        elements += [(f"masqueraded{6 if ':' in subnet else 4}", subnet) for subnet in member.subnets]
    return "\n".join(f"add element inet {table} {name} {{ {element} }}" for name, element in elements)


class Firewall:
    """The table of one data root."""

    def __init__(self, table: str) -> None:
        self.table = table

    def ready(self, filter: Nfnetlink, bridge: str) -> bool:
        """Whether nothing has to be done for a bridge that is up."""
        if not filter.has_table(INET, self.table):
            return False
        forward = filter.chain(IPV4, "filter", "FORWARD")
        return forward is None or not forward.drops or _accepts(forward, bridge)

    def rebuild(self, members: Sequence[Member], holdings: Sequence[Holding]) -> None:
        """Make the table with these bridges and ports, all at once, and let the bridges pass where others drop."""
        commands = [table_text(self.table, members, holdings)]
        with open_filter() as filter:
            forward = filter.chain(IPV4, "filter", "FORWARD")
        if forward is not None and forward.drops:
            for member in members:
                if not _accepts(forward, member.bridge):
                    commands += [
                        f'insert rule ip filter FORWARD {side}ifname "{member.bridge}" counter accept' for side in "io"
                    ]
        _run("\n".join(commands))

    def forget(self, bridge: str) -> None:
        """Take away what was put into another program's table for a bridge. Idempotent."""
        with open_filter() as filter:
            forward = filter.chain(IPV4, "filter", "FORWARD")
        handles = [handle for rule in (forward.rules if forward else ()) if (handle := _handle(rule, bridge))]
        commands = [f"delete rule ip filter FORWARD handle {handle}" for handle in handles]
        if commands:
            _run("\n".join(commands))

    def remove_table(self) -> None:
        """Idempotent."""
        _run(f"add table inet {self.table}\ndelete table inet {self.table}")

    # Ports

    def publish(self, filter: Nfnetlink, address: str, publications: Sequence[Publication]) -> None:
        """Redirect what comes from outside to ports of ``address``. Raises :class:`FilterFailed`."""
        self.unpublish(filter, address, publications)  # what a killed process may have left
        try:
            for name, elements in _elements(address, publications).items():
                filter.add(INET, self.table, name, elements)
        except OSError as error:
            raise FilterFailed(f"the packet filter refused to publish ports: {error.strerror}") from error

    def unpublish(self, filter: Nfnetlink, address: str, publications: Sequence[Publication]) -> None:
        """Idempotent."""
        for name, elements in _elements(address, publications).items():
            for element in elements:
                with suppress(FileNotFoundError):
                    filter.remove(INET, self.table, name, [element])


def _elements(address: str, publications: Sequence[Publication]) -> dict[str, list[Element]]:
    """Elements by map."""
    found: dict[str, list[Element]] = {}
    for publication in _redirected(publications):
        host = publication.host
        key = part(bytes([_PROTOCOLS[publication.protocol]])) + part(struct.pack(">H", publication.host_port))
        data = packed(address) + part(struct.pack(">H", publication.port))
        if host == ANY:
            found.setdefault("any", []).append(Element(key, data))
        else:
            found.setdefault("one", []).append(Element(packed(host) + key, data))
    return found


def _redirected(publications: Iterable[Publication]) -> Iterator[Publication]:
    """Those whose address packets from outside can have; the rest is the proxy's alone."""
    for one in publications:
        if ":" not in one.host and not one.host.startswith("127."):
            yield one


def open_filter() -> Nfnetlink:
    """Raises :class:`FilterUnavailable`."""
    try:
        return Nfnetlink()
    except OSError as error:
        if error.errno in (errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT):
            raise FilterUnavailable("networks need a kernel with nftables (CONFIG_NF_TABLES)") from error
        raise


def _run(commands: str) -> None:
    try:
        nftables.run(commands)
    except nftables.NotAvailable as error:
        raise FilterUnavailable(str(error)) from error
    except nftables.RuleError as error:
        raise FilterFailed(f"the packet filter refused the rules of the network: {error}") from error


def _accepts(chain: nftables.Chain, bridge: str) -> bool:
    return sum(_handle(rule, bridge) != 0 for rule in chain.rules) >= 2


def _handle(rule: bytes, bridge: str) -> int:
    """Handle of a rule that is about the bridge, else 0."""
    if bridge.encode() + b"\0" not in rule:
        return 0
    found = dict(attributes(rule)).get(_RULE_HANDLE, b"")
    return struct.unpack(">Q", found)[0] if len(found) == 8 else 0


def set_forwarding(version: int) -> None:
    """Let the kernel pass packets between interfaces.

    For version 6 that would make the host forget the routes that routers announced to it, unless it is told to listen
    to them all the same.
    """
    base = f"/proc/sys/net/ipv{version}"
    path = f"{base}/ip_forward" if version == 4 else f"{base}/conf/all/forwarding"
    with suppress(OSError):
        with open(path, encoding="ascii") as file:
            if file.read().strip() == "1":
                return
        if version == 6:
            for name in os.listdir(f"{base}/conf"):
                _listen_to_routers(f"{base}/conf/{name}/accept_ra")
        with open(path, "w", encoding="ascii") as file:
            file.write("1")


def _listen_to_routers(path: str) -> None:
    with suppress(OSError):
        with open(path, encoding="ascii") as file:
            if file.read().strip() != "1":
                return
        with open(path, "w", encoding="ascii") as file:
            file.write("2")
