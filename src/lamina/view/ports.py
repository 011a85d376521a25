"""Published ports as lists and ``docker port`` show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


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
    """The column PORTS of ``docker ps``: neighbours with the same address become a range."""
    groups: list[tuple[tuple[str, str], list[tuple[int, int]]]] = []
    for one in sorted(ports, key=_order):
        private, public = int(one["PrivatePort"]), int(one.get("PublicPort") or 0)
        key = (str(one.get("IP") or ""), str(one["Type"]))
        for known, members in groups:
            last_private, last_public = members[-1]
            if known == key and private == last_private + 1 and public == (last_public + 1 if public else 0):
                members.append((private, public))
                break
        else:
            groups.append((key, [(private, public)]))
    plain = [(key, members) for key, members in groups if not members[0][1]]
    mapped = [(key, members) for key, members in groups if members[0][1]]
    return ", ".join(_group(*key, members) for key, members in [*plain, *mapped])


def _order(one: Mapping[str, Any]) -> tuple[Any, ...]:
    return int(one["PrivatePort"]), str(one["Type"]), int(one.get("PublicPort") or 0), ":" in str(one.get("IP") or "")


def _group(address: str, protocol: str, members: Sequence[tuple[int, int]]) -> str:
    private = _range([one for one, _ in members])
    public = _range([one for _, one in members])
    return f"{private}/{protocol}" if public == "0" else f"{address}:{public}->{private}/{protocol}"


def _range(numbers: Sequence[int]) -> str:
    if len(numbers) == 1 or numbers[0] == numbers[-1]:
        return str(numbers[0])
    return f"{numbers[0]}-{numbers[-1]}"


def lines(ports: Mapping[str, Any]) -> list[str]:
    """What ``docker port CONTAINER`` prints."""
    keys = sorted((text for text, places in ports.items() if places), key=_key)
    return [f"{text} -> {place['HostIp']}:{place['HostPort']}" for text in keys for place in ports[text]]


def _key(text: str) -> tuple[int, str]:
    number, _, protocol = text.partition("/")
    return int(number), protocol
