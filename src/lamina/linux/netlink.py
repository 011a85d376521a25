"""Netlink by hand: messages, attributes, and the few requests about links, addresses and routes that an engine makes.

Formats: ``linux/netlink.h``, ``linux/rtnetlink.h``, ``linux/if_link.h``. Integers are in the host's byte order. A whole
library would take more time to import than all of the requests of a container take.
"""

from __future__ import annotations

import errno
import os
import struct
from _socket import AF_INET, AF_INET6, AF_NETLINK, NETLINK_ROUTE, SOCK_CLOEXEC, SOCK_RAW, inet_pton
from _socket import socket as Socket  # noqa: N812 - the class; the module `socket` would cost three milliseconds
from collections.abc import Iterator, Sequence

from lamina.typing import NamedTuple, Self

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_RECEIVE = 1 << 18
#: Attribute types without the bits that say "nested" and "network byte order".
_TYPE_MASK = 0x3FFF

# linux/netlink.h
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_ACK = 0x1, 0x4
NLM_F_ROOT, NLM_F_MATCH = 0x100, 0x200
NLM_F_EXCL, NLM_F_CREATE, NLM_F_APPEND = 0x200, 0x400, 0x800
NLM_F_DUMP = NLM_F_ROOT | NLM_F_MATCH
NLA_F_NESTED = 0x8000

# linux/rtnetlink.h
_RTM_NEWLINK, _RTM_DELLINK, _RTM_GETLINK, _RTM_SETLINK = 16, 17, 18, 19
_RTM_NEWADDR, _RTM_GETADDR = 20, 22
_RTM_NEWROUTE, _RTM_GETROUTE = 24, 26
_RT_TABLE_MAIN, _RTPROT_BOOT, _RTN_UNICAST = 254, 3, 1

# linux/if_link.h, linux/if_addr.h, linux/rtnetlink.h, linux/veth.h
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_LINK, _IFLA_MASTER, _IFLA_LINKINFO = 1, 3, 4, 5, 10, 18
_IFLA_PROTINFO, _IFLA_IFALIAS, _IFLA_NET_NS_FD = 12, 20, 28
_IFLA_BRPORT_ISOLATED = 33
_AF_BRIDGE = 7
_IFLA_INFO_KIND, _IFLA_INFO_DATA = 1, 2
_VETH_INFO_PEER = 1
_IFLA_MACVLAN_MODE, _IFLA_IPVLAN_MODE = 1, 1
_IFA_ADDRESS, _IFA_LOCAL, _IFA_BROADCAST = 1, 2, 4
_IFA_F_NODAD = 0x02
_RTA_DST, _RTA_OIF, _RTA_GATEWAY = 1, 4, 5

# linux/if.h
IFF_UP = 0x1

#: Modes of ``macvlan`` and ``ipvlan`` links by Docker's names (``linux/if_link.h``).
MACVLAN_MODES = {"private": 1, "vepa": 2, "bridge": 4, "passthru": 8}
IPVLAN_MODES = {"l2": 0, "l3": 1, "l3s": 2}


def attribute(kind: int, payload: bytes) -> bytes:
    """One attribute, padded to four bytes."""
    length = _ATTRIBUTE.size + len(payload)
    return _ATTRIBUTE.pack(length, kind) + payload + bytes(-length % 4)


def nested(kind: int, *attributes: bytes) -> bytes:
    """An attribute that holds attributes."""
    return attribute(kind | NLA_F_NESTED, b"".join(attributes))


def text(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode() + b"\0")


def number(kind: int, value: int) -> bytes:
    """A 32-bit attribute in the host's order."""
    return attribute(kind, struct.pack("=I", value))


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Types and payloads of the attributes in ``data``; what is no whole attribute ends the list."""
    offset = 0
    while offset + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < _ATTRIBUTE.size or offset + length > len(data):
            return
        yield kind & _TYPE_MASK, data[offset + _ATTRIBUTE.size : offset + length]
        offset += (length + 3) & ~3


def message(kind: int, flags: int, payload: bytes, sequence: int = 0) -> bytes:
    """One message."""
    return _HEADER.pack(_HEADER.size + len(payload), kind, flags, sequence, 0) + payload


def messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Type, sequence number and payload of each message in what was received."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, _, sequence, _ = _HEADER.unpack_from(data, offset)
        if length < _HEADER.size or offset + length > len(data):
            return
        yield kind, sequence, data[offset + _HEADER.size : offset + length]
        offset += (length + 3) & ~3


class Netlink:
    """A netlink socket. It belongs to the network namespace that the calling thread was in when it was made.

    A context manager. Not for several threads at once.
    """

    def __init__(self, protocol: int) -> None:
        self._socket = Socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol)
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def next(self) -> int:
        """A sequence number."""
        self._sequence += 1
        return self._sequence

    def send(self, data: bytes) -> None:
        """Raises :class:`OSError`."""
        self._socket.send(data)

    def request(self, kind: int, flags: int, payload: bytes, what: str) -> None:
        """One request, and its acknowledgement.

        :param what: names the object in the :class:`OSError` that is raised when the kernel refuses.
        """
        sequence = self.next()
        self.send(message(kind, flags | NLM_F_REQUEST | NLM_F_ACK, payload, sequence))
        self.acknowledged((sequence,), what)

    def acknowledged(self, sequences: Sequence[int], what: str) -> None:
        """Wait for the acknowledgements of what was sent; the first refusal is raised when all are there."""
        waiting = set(sequences)
        failure = 0
        while waiting:
            for kind, sequence, payload in messages(self._socket.recv(_RECEIVE)):
                if kind == NLMSG_ERROR and sequence in waiting:
                    waiting.discard(sequence)
                    failure = failure or -struct.unpack_from("=i", payload)[0]
        if failure:
            raise OSError(failure, os.strerror(failure), what)

    def dump(self, kind: int, payload: bytes, what: str) -> Iterator[bytes]:
        """Payloads of the answers to a request for a list."""
        sequence = self.next()
        self.send(message(kind, NLM_F_REQUEST | NLM_F_DUMP, payload, sequence))
        while True:
            for answer, number_, body in messages(self._socket.recv(_RECEIVE)):
                if number_ != sequence:
                    continue
                if answer == NLMSG_DONE:
                    return
                if answer == NLMSG_ERROR:
                    code = -struct.unpack_from("=i", body)[0]
                    raise OSError(code, os.strerror(code), what)
                yield body


class Link(NamedTuple):
    """A network interface. ``kind`` is ``""`` for hardware, ``master`` 0 without a bridge."""

    number: int
    name: str
    up: bool
    kind: str
    alias: str
    master: int
    mtu: int


class Route(NamedTuple):
    """A route's or an address's destination: packed address and length of its prefix."""

    destination: bytes
    prefix: int
    link: int


def _link_header(index: int = 0, flags: int = 0, change: int = 0) -> bytes:
    return struct.pack("=BxHiII", 0, 0, index, flags, change)


def _link_information(kind: str, *data: bytes) -> bytes:
    inner = [attribute(_IFLA_INFO_KIND, kind.encode())]
    if data:
        inner.append(nested(_IFLA_INFO_DATA, *data))
    return nested(_IFLA_LINKINFO, *inner)


class Rtnetlink(Netlink):
    """Links, addresses and routes of one network namespace. Every method raises :class:`OSError`."""

    def __init__(self) -> None:
        super().__init__(NETLINK_ROUTE)

    # Looking

    def links(self) -> Iterator[Link]:
        """All of them."""
        for body in self.dump(_RTM_GETLINK, _link_header(), "links"):
            yield _link(body)

    def link(self, name: str) -> Link | None:
        """The one of that name."""
        sequence = self.next()
        payload = _link_header() + text(_IFLA_IFNAME, name)
        self.send(message(_RTM_GETLINK, NLM_F_REQUEST, payload, sequence))
        while True:
            for kind, number_, body in messages(self._socket.recv(_RECEIVE)):
                if number_ != sequence:
                    continue
                if kind == NLMSG_ERROR:
                    code = -struct.unpack_from("=i", body)[0]
                    if code == errno.ENODEV:
                        return None
                    raise OSError(code, os.strerror(code), name)
                return _link(body)

    def routes(self, family: int = AF_INET) -> Iterator[Route]:
        """Destinations of all routes of all tables, the default route left out."""
        payload = struct.pack("=BBBBBBBBI", family, 0, 0, 0, 0, 0, 0, 0, 0)
        for body in self.dump(_RTM_GETROUTE, payload, "routes"):
            found = dict(attributes(body[12:]))
            if body[0] == family and _RTA_DST in found:
                link = struct.unpack("=I", found[_RTA_OIF])[0] if _RTA_OIF in found else 0
                yield Route(found[_RTA_DST], body[1], link)

    def addresses(self, family: int = AF_INET) -> Iterator[Route]:
        """Addresses of all links, with the prefix of their networks."""
        for body in self.dump(_RTM_GETADDR, struct.pack("=BBBBI", family, 0, 0, 0, 0), "addresses"):
            found = dict(attributes(body[8:]))
            address = found.get(_IFA_LOCAL) or found.get(_IFA_ADDRESS)
            if body[0] == family and address:
                yield Route(address, body[1], struct.unpack_from("=I", body, 4)[0])

    # Changing

    def add_bridge(self, name: str, *, mtu: int = 0, alias: str = "", mac: bytes = b"") -> None:
        """A bridge that is down. ``EEXIST`` when the name is taken."""
        payload = _link_header() + text(_IFLA_IFNAME, name)
        if mtu:
            payload += number(_IFLA_MTU, mtu)
        if mac:
            payload += attribute(_IFLA_ADDRESS, mac)
        payload += _link_information("bridge")
        self.request(_RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, payload, name)
        if alias:
            index = self.index(name)
            self.request(_RTM_NEWLINK, 0, _link_header(index) + attribute(_IFLA_IFALIAS, alias.encode()[:255]), name)

    def add_veth(self, name: str, peer: str, *, bridge: int, namespace: int, mac: bytes, mtu: int = 0) -> None:
        """A pair: ``name`` here, up, on the bridge of that index; ``peer`` in the namespace behind a descriptor."""
        size = number(_IFLA_MTU, mtu) if mtu else b""
        other = _link_header() + text(_IFLA_IFNAME, peer) + attribute(_IFLA_ADDRESS, mac) + size
        other += number(_IFLA_NET_NS_FD, namespace)
        payload = _link_header(flags=IFF_UP, change=IFF_UP) + text(_IFLA_IFNAME, name) + size
        payload += number(_IFLA_MASTER, bridge)
        payload += _link_information("veth", attribute(_VETH_INFO_PEER, other))
        self.request(_RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, payload, name)

    def add_vlan(self, name: str, kind: str, mode: int, *, parent: int, namespace: int, mac: bytes, mtu: int) -> None:
        """A ``macvlan`` or ``ipvlan`` link ``name`` in another namespace, on the link of index ``parent``."""
        payload = _link_header() + text(_IFLA_IFNAME, name) + number(_IFLA_LINK, parent)
        if mac and kind == "macvlan":
            payload += attribute(_IFLA_ADDRESS, mac)
        if mtu:
            payload += number(_IFLA_MTU, mtu)
        payload += number(_IFLA_NET_NS_FD, namespace)
        if kind == "macvlan":
            payload += _link_information(kind, number(_IFLA_MACVLAN_MODE, mode))
        else:
            payload += _link_information(kind, attribute(_IFLA_IPVLAN_MODE, struct.pack("=H", mode)))
        self.request(_RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, payload, name)

    def add_dummy(self, name: str, alias: str = "") -> None:
        """A link that leads nowhere."""
        payload = _link_header() + text(_IFLA_IFNAME, name) + _link_information("dummy")
        self.request(_RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, payload, name)
        if alias:
            header = _link_header(self.index(name))
            self.request(_RTM_NEWLINK, 0, header + attribute(_IFLA_IFALIAS, alias.encode()[:255]), name)

    def delete_link(self, name: str) -> None:
        """Remove it. Takes tens of milliseconds: the kernel waits until nobody can be using it."""
        self.request(_RTM_DELLINK, 0, _link_header() + text(_IFLA_IFNAME, name), name)

    def index(self, name: str) -> int:
        """The link's index; ``ENODEV`` when there is none."""
        link = self.link(name)
        if link is None:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), name)
        return link.number

    def isolate(self, index: int) -> None:
        """Let a bridge's port reach no other port that is isolated too."""
        header = struct.pack("=BxHiII", _AF_BRIDGE, 0, index, 0, 0)
        port = nested(_IFLA_PROTINFO, attribute(_IFLA_BRPORT_ISOLATED, b"\1"))
        self.request(_RTM_SETLINK, 0, header + port, f"link {index}")

    def set_up(self, index: int, *, up: bool = True) -> None:
        self.request(_RTM_NEWLINK, 0, _link_header(index, IFF_UP if up else 0, IFF_UP), f"link {index}")

    def add_address(self, index: int, address: str, prefix: int, *, broadcast: bytes = b"") -> None:
        """Give a link an address; for version 6 without waiting whether another has it."""
        family = AF_INET6 if ":" in address else AF_INET
        packed = inet_pton(family, address)
        flags = _IFA_F_NODAD if family == AF_INET6 else 0
        payload = struct.pack("=BBBBI", family, prefix, flags, 0, index)
        payload += attribute(_IFA_LOCAL, packed) + attribute(_IFA_ADDRESS, packed)
        if broadcast:
            payload += attribute(_IFA_BROADCAST, broadcast)
        self.request(_RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, payload, address)

    def add_default_route(self, index: int, gateway: str = "", *, version: int = 4) -> None:
        """Everything else goes to ``gateway``, or straight to the link without one."""
        family = AF_INET6 if version == 6 else AF_INET
        scope = 0 if gateway else 253
        payload = struct.pack("=BBBBBBBBI", family, 0, 0, 0, _RT_TABLE_MAIN, _RTPROT_BOOT, scope, _RTN_UNICAST, 0)
        payload += number(_RTA_OIF, index)
        if gateway:
            payload += attribute(_RTA_GATEWAY, inet_pton(family, gateway))
        self.request(_RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, payload, gateway or "default route")


def _link(body: bytes) -> Link:
    index, flags = struct.unpack_from("=iI", body, 4)
    found = dict(attributes(body[16:]))
    information = dict(attributes(found.get(_IFLA_LINKINFO, b"")))
    return Link(
        index,
        _text(found.get(_IFLA_IFNAME)),
        bool(flags & IFF_UP),
        _text(information.get(_IFLA_INFO_KIND)),
        _text(found.get(_IFLA_IFALIAS)),
        struct.unpack("=I", found[_IFLA_MASTER])[0] if _IFLA_MASTER in found else 0,
        struct.unpack("=I", found[_IFLA_MTU])[0] if _IFLA_MTU in found else 0,
    )


def _text(raw: bytes | None) -> str:
    return (raw or b"").rstrip(b"\0").decode(errors="replace")
