"""Published ports as lists and ``docker port`` show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lamina.typing import Any


def listed(ports: Mapping[str, Any]) -> list[dict[str, Any]]:
    """``Ports`` of ``GET /containers/json``, from ``NetworkSettings.Ports``."""
    found: list[dict[str, Any]] = []
    for text, places in ports.items():
        number, _, protocol = text.partition("/")
        if not places:
            found.append({"PrivatePort": int(number), "Type": protocol})
        for place in places or ():
            entry = {"IP": place["HostIp"], "PrivatePort": int(number), "PublicPort": int(place["HostPort"])}
            found.append({**entry, "Type": protocol})
    return found


def column(ports: Sequence[Mapping[str, Any]]) -> str:
    """The column PORTS of ``docker ps``.

    Neighbours become a range where they are not published, or published under their own number; the others follow.
    """
    groups: list[_Group] = []
    mapped = []
    for one in sorted(ports, key=_order):
        private, public, address = int(one["PrivatePort"]), int(one.get("PublicPort") or 0), str(one.get("IP") or "")
        if public not in (0, private):
            mapped.append(f"{address}:{public}->{private}/{one['Type']}")
            continue
        key = (address if public else "", str(one["Type"]))
        last = next((group for group in reversed(groups) if group.key == key), None)
        if last is not None and last.last + 1 == private:
            last.last = private
        else:
            groups.append(_Group(key, private))
    return ", ".join([*map(str, groups), *mapped])


class _Group:
    """Ports in a row, on the same address of the host or on none."""

    def __init__(self, key: tuple[str, str], first: int) -> None:
        self.key = key
        self.first = self.last = first

    def __str__(self) -> str:
        address, protocol = self.key
        numbers = str(self.first) if self.first == self.last else f"{self.first}-{self.last}"
        return f"{address}:{numbers}->{numbers}/{protocol}" if address else f"{numbers}/{protocol}"


def _order(one: Mapping[str, Any]) -> tuple[Any, ...]:
    return int(one["PrivatePort"]), str(one.get("IP") or ""), int(one.get("PublicPort") or 0), str(one["Type"])


def lines(ports: Mapping[str, Any]) -> list[str]:
    """What ``docker port CONTAINER`` prints."""
    keys = sorted((text for text, places in ports.items() if places), key=_key)
    return [f"{text} -> {place['HostIp']}:{place['HostPort']}" for text in keys for place in ports[text]]


def _key(text: str) -> tuple[int, str]:
    number, _, protocol = text.partition("/")
    return int(number), protocol
