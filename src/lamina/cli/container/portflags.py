"""``--publish`` and ``--expose``: docker's notation of ports, and its complaints (``go-connections/nat``)."""

from __future__ import annotations

from lamina.cli.command import CommandError
from lamina.network.addresses import is_address
from lamina.typing import Any, NamedTuple

_PROTOCOLS = ("tcp", "udp", "sctp")
_LARGEST = 65535


class Published(NamedTuple):
    """``ExposedPorts`` and ``PortBindings``."""

    exposed: dict[str, dict[str, Any]]
    bindings: dict[str, list[dict[str, str]]]


def published(texts: list[str]) -> Published:
    """From the texts of ``-p``: ``[[IP:][HOST[-HOST]:]]CONTAINER[-CONTAINER][/PROTOCOL]``, or pairs ``target=80,...``.

    :raises CommandError: with docker's words.
    """
    exposed: dict[str, dict[str, Any]] = {}
    bindings: dict[str, list[dict[str, str]]] = {}
    for text in texts:
        for port, binding in _one(_long(text) if "=" in text else text):
            exposed[port] = {}
            bindings.setdefault(port, []).append(binding)
    return Published(exposed, dict(sorted(bindings.items())))


def _one(text: str) -> list[tuple[str, dict[str, str]]]:
    place, _, protocol = text.partition("/")
    host, container = _split(place)
    address, host_ports = host
    if not container:
        raise CommandError(f"No port specified: {text}<empty>")
    if address:
        address = _host_of(address)
    if address and not is_address(address):
        raise CommandError(f"Invalid ip address: {address}")
    first, last = _range(container, "containerPort")
    first_host, last_host = _range(host_ports, "hostPort") if host_ports else (0, 0)
    if host_ports and last - first != last_host - first_host and first != last:
        raise CommandError(f"Invalid ranges specified for container and host Ports: {container} and {host_ports}")
    protocol = (protocol or "tcp").lower()
    if protocol not in _PROTOCOLS:
        raise CommandError(f"Invalid proto: {protocol}")
    found = []
    for offset in range(last - first + 1):
        shown = str(first_host + offset) if host_ports else ""
        if host_ports and first == last and first_host != last_host:
            shown = f"{first_host}-{last_host}"
        found.append((f"{first + offset}/{protocol}", {"HostIp": address, "HostPort": shown}))
    return found


def _split(place: str) -> tuple[tuple[str, str], str]:
    """Address and ports on the host, and ports of the container."""
    rest, colon, container = place.rpartition(":")
    if not colon:
        return ("", ""), container
    address, _, host_ports = rest.rpartition(":")
    return (address, host_ports), container


def _host_of(text: str) -> str:
    """An address without the brackets that one of version 6 needs; otherwise the words of Go's ``SplitHostPort``."""
    host = text[1:].partition("]")[0] if text.startswith("[") else text
    if text.startswith("["):
        reason = "missing ']' in address" if "]" not in text else ""
        if not reason and text != f"[{host}]":
            reason = "missing port in address"
    else:
        reason = "too many colons in address" if ":" in text else ""
    if reason:
        raise CommandError(f"Invalid ip address {text}: address {text}:: {reason}")
    return host


def _long(text: str) -> str:
    """``target=80,published=8080,protocol=udp`` in the other notation."""
    values = {"published": "", "protocol": "tcp"}
    for pair in text.split(","):
        name, equals, value = pair.partition("=")
        if not equals:
            raise CommandError(f"invalid field {pair}")
        if name == "mode":
            continue
        if name not in ("target", "published", "protocol"):
            raise CommandError(f"invalid field key {name}")
        values[name] = value
    if not values.get("target"):
        raise CommandError(f'missing mandatory field "target" in {text}')
    published = f"{values['published']}:" if values["published"] else ""
    return f"{published}{values['target']}/{values['protocol']}"


def _range(text: str, what: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    numbers = (_port(first), _port(last if dash else first))
    if None in numbers or numbers[0] > numbers[1]:  # type: ignore[operator] # None is ruled out first
        raise CommandError(f"Invalid {what}: {text}")
    return numbers  # type: ignore[return-value] # the same


def _port(text: str) -> int | None:
    return int(text) if text.isdecimal() and text.isascii() and int(text) <= _LARGEST else None


def exposed(texts: list[str]) -> dict[str, dict[str, Any]]:
    """From the texts of ``--expose``. Raises :class:`CommandError`."""
    found: dict[str, dict[str, Any]] = {}
    for text in texts:
        if ":" in text:
            raise CommandError(f"invalid port format for --expose: {text}")
        ports, _, protocol = text.partition("/")
        first, dash, last = ports.partition("-")
        for part in (first, last) if dash else (first,):
            if not part:
                raise CommandError(
                    f"invalid range format for --expose: {text}, error: empty string specified for ports"
                )
            if _port(part) is None:
                reason = "value out of range" if part.isdecimal() else "invalid syntax"
                message = f'strconv.ParseUint: parsing "{part}": {reason}'
                raise CommandError(f"invalid range format for --expose: {text}, error: {message}")
        for number in range(int(first), int(last if dash else first) + 1):
            found[f"{number}/{(protocol or 'tcp').lower()}"] = {}
    return found
