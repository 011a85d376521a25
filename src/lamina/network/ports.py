"""Published ports: what is asked for, and taking them on the host.

Whoever holds a port's socket has the port: so a conflict with anybody, in this engine or not, shows before the start.
"""

from __future__ import annotations

import errno
import os
from _socket import (
    AF_INET,
    AF_INET6,
    IPPROTO_IPV6,
    IPPROTO_SCTP,
    IPV6_V6ONLY,
    SO_REUSEADDR,
    SOCK_CLOEXEC,
    SOCK_DGRAM,
    SOCK_NONBLOCK,
    SOCK_STREAM,
    SOL_SOCKET,
)
from _socket import socket as Socket  # noqa: N812 - the class; the module `socket` would cost three milliseconds
from collections.abc import Callable, Iterable, Mapping, Sequence

from lamina.contextlib import ExitStack
from lamina.errors import InvalidArgument
from lamina.network.addresses import is_address
from lamina.network.contract import ANY, ANY6, PortInUse, Publication
from lamina.typing import Any, NamedTuple

_ATTEMPTS = 20
_BACKLOG = 512
PROTOCOLS = ("tcp", "udp", "sctp")


class PortRequest(NamedTuple):
    """One port that a container wants on the host.

    :ivar host: address; ``""`` for all of both versions.
    :ivar first: lowest host port that will do, ``last`` the highest; both 0 for any.
    """

    protocol: str
    port: int
    host: str = ""
    first: int = 0
    last: int = 0


class Bound(NamedTuple):
    """A host port that this process holds."""

    publication: Publication
    socket: Socket

    def close(self) -> None:
        self.socket.close()


def again(bound: Bound) -> Bound:
    """The same port once more, to be closed on its own."""
    return Bound(bound.publication, Socket(fileno=os.dup(bound.socket.fileno())))


def split_port(text: str) -> tuple[int, str]:
    """``80/tcp``, a key of ``ExposedPorts``, as number and protocol. Raises :class:`InvalidArgument`."""
    number, _, protocol = text.partition("/")
    if not number.isdecimal() or not number.isascii() or int(number) > 65535:
        raise InvalidArgument(f"invalid port {text}")
    return int(number), (protocol or "tcp").lower()


def requests(config: Mapping[str, Any], host_config: Mapping[str, Any]) -> tuple[PortRequest, ...]:
    """What ``PortBindings``, ``PublishAllPorts`` and ``ExposedPorts`` ask for.

    :raises InvalidArgument: malformed.
    """
    bindings = dict(host_config.get("PortBindings") or {})
    if host_config.get("PublishAllPorts"):
        for text in config.get("ExposedPorts") or ():
            bindings.setdefault(text, [{}])
    found = []
    for text in sorted(bindings, key=split_port):
        number, protocol = split_port(text)
        if protocol not in PROTOCOLS:
            raise InvalidArgument(f"invalid protocol {protocol}")
        for binding in bindings[text] or [{}]:
            host = str(binding.get("HostIp") or "")
            if host and not is_address(host):
                raise InvalidArgument(f"invalid IP address: {host}")
            first, last = _range(str(binding.get("HostPort") or ""))
            found.append(PortRequest(protocol, number, host, first, last))
    return tuple(found)


def _range(text: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    try:
        numbers = int(first or 0), int((last if dash else first) or 0)
    except ValueError:
        numbers = -1, -1
    if not 0 <= numbers[0] <= numbers[1] <= 65535:
        raise InvalidArgument(f"invalid port specification: {text}")
    return numbers


def bind(wanted: Sequence[PortRequest], endpoint: str, is_ours: Callable[[Publication], bool]) -> list[Bound]:
    """Take all of them or none.

    :param endpoint: the container's name and its endpoint's id, for messages.
    :param is_ours: whether another container has that port published.
    :raises PortInUse: with Docker's text.
    """
    with ExitStack() as undo:
        found: list[Bound] = []
        for request in wanted:
            for one in _bind(request, endpoint, is_ours):
                undo.callback(one.close)
                found.append(one)
        undo.pop_all()
    return found


def _bind(request: PortRequest, endpoint: str, is_ours: Callable[[Publication], bool]) -> list[Bound]:
    hosts = [request.host] if request.host else [ANY, *([ANY6] if _has_ipv6() else ())]
    candidates: Iterable[int] = range(request.first, request.last + 1) if request.first else [0] * _ATTEMPTS
    failure: OSError | None = None
    refused = Publication(request.protocol, request.port, hosts[0], request.first)
    for candidate in candidates:
        bound: list[Bound] = []
        port = candidate
        for host in hosts:
            refused = Publication(request.protocol, request.port, host, port)
            try:
                socket = _open(request.protocol, host, port)
            except OSError as error:
                failure = error
                break
            port = socket.getsockname()[1]
            bound.append(Bound(Publication(request.protocol, request.port, host, port), socket))
        else:
            return bound
        for one in bound:
            one.close()
    assert failure is not None
    raise PortInUse(
        f"driver failed programming external connectivity on endpoint {endpoint}: {_reason(refused, failure, is_ours)}"
    )


def _reason(refused: Publication, failure: OSError, is_ours: Callable[[Publication], bool]) -> str:
    host = f"[{refused.host}]" if ":" in refused.host else refused.host
    place = f"{host}:{refused.host_port}"
    if failure.errno == errno.EADDRINUSE and is_ours(refused):
        return f"Bind for {place} failed: port is already allocated"
    what, reason = "Error starting userland proxy", os.strerror(failure.errno or 0).lower()
    if refused.protocol == "sctp":
        return f"{what}: {reason}"
    return f"{what}: listen {refused.protocol}{6 if ':' in refused.host else 4} {place}: bind: {reason}"


def _open(protocol: str, host: str, port: int) -> Socket:
    family = AF_INET6 if ":" in host else AF_INET
    kind = SOCK_DGRAM if protocol == "udp" else SOCK_STREAM
    number = IPPROTO_SCTP if protocol == "sctp" else 0
    socket = Socket(family, kind | SOCK_CLOEXEC | SOCK_NONBLOCK, number)
    try:
        if kind == SOCK_STREAM:
            socket.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        if family == AF_INET6:
            socket.setsockopt(IPPROTO_IPV6, IPV6_V6ONLY, 1)
        socket.bind((host, port))
        if kind == SOCK_STREAM:
            socket.listen(_BACKLOG)
    except BaseException:
        socket.close()
        raise
    return socket


def _has_ipv6() -> bool:
    """Whether the host has the protocol, with an address at least on its loopback."""
    try:
        with open("/proc/net/if_inet6", "rb") as file:
            return bool(file.read(1))
    except OSError:
        return False


def overlaps(one: Publication, other: Publication) -> bool:
    """Whether the two can't be published at the same time."""
    if (one.protocol, one.host_port) != (other.protocol, other.host_port) or (":" in one.host) != (":" in other.host):
        return False
    return one.host == other.host or ANY in (one.host, other.host) or ANY6 in (one.host, other.host)


def shown(config: Mapping[str, Any], publications: Iterable[Publication]) -> dict[str, Any]:
    """``NetworkSettings.Ports``: what is published, and ``None`` for what is only exposed."""
    found: dict[str, Any] = {}
    for one in publications:
        places = found.setdefault(f"{one.port}/{one.protocol}", [])
        places.append({"HostIp": one.host, "HostPort": str(one.host_port)})
    for text in config.get("ExposedPorts") or ():
        found.setdefault(text if "/" in text else f"{text}/tcp", None)
    return dict(sorted(found.items()))
