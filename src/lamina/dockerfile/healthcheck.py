"""``HEALTHCHECK``: ``NONE``, or ``CMD`` with ``--interval``, ``--timeout``, ``--start-period``, ``--retries``."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from lamina.dockerfile.words import InvalidInstruction

_DURATIONS = {
    "interval": "Interval",
    "timeout": "Timeout",
    "start-period": "StartPeriod",
    "start-interval": "StartInterval",
}
_MILLISECOND = 1_000_000
_UNITS = {
    "ns": 1,
    "us": 1000,
    "µs": 1000,
    "μs": 1000,
    "ms": _MILLISECOND,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")


def parse(text: str, json_list: Callable[[str], list[str] | None]) -> dict[str, Any]:
    """Docker's ``HealthConfig``: durations in nanoseconds. ``json_list`` recognises the exec form."""
    if not text:
        raise InvalidInstruction("HEALTHCHECK requires at least one argument")
    flags, rest = _flags(text)
    kind, _, arguments = rest.partition(" ")
    arguments = arguments.strip()
    if kind.upper() == "NONE":
        if arguments:
            raise InvalidInstruction("HEALTHCHECK NONE takes no arguments")
        return {"Test": ["NONE"]}
    if kind.upper() != "CMD":
        raise InvalidInstruction(f'Unknown type "{kind}" in HEALTHCHECK (try CMD)')
    command = json_list(arguments)
    if not command and (command is not None or not arguments):
        raise InvalidInstruction("Missing command after HEALTHCHECK CMD")
    check: dict[str, Any] = {"Test": ["CMD-SHELL", arguments] if command is None else ["CMD", *command]}
    for name, member in _DURATIONS.items():
        if name in flags:
            check[member] = _checked_duration(name, flags[name])
    if "retries" in flags:
        check["Retries"] = _retries(flags["retries"])
    return check


def _flags(text: str) -> tuple[dict[str, str], str]:
    flags: dict[str, str] = {}
    while text.startswith("--"):
        word, _, rest = text.partition(" ")
        name, equals, value = word[2:].partition("=")
        if name not in _DURATIONS and name != "retries":
            raise InvalidInstruction(f"Unknown flag: {name}")
        if not equals:
            raise InvalidInstruction(f"Missing a value on flag: {name}")
        if name in flags:
            raise InvalidInstruction(f"Duplicate flag specified: {name}")
        flags[name] = value
        text = rest.strip()
    return flags, text


def _checked_duration(name: str, text: str) -> int:
    value = _nanoseconds(text)
    if value < _MILLISECOND:
        raise InvalidInstruction(f'Interval "{name}" cannot be less than 1ms')
    return value


def _nanoseconds(text: str) -> int:
    """Go's ``time.ParseDuration``."""
    body = text.lstrip("+-")
    parts = _DURATION.findall(body)
    if body == "0":
        return 0
    if not parts or "".join(number + unit for number, unit in parts) != body or len(text) - len(body) > 1:
        raise InvalidInstruction(f'time: invalid duration "{text}"')
    total = round(sum(float(number) * _UNITS[unit] for number, unit in parts))
    return -total if text.startswith("-") else total


def _retries(text: str) -> int:
    try:
        retries = int(text)
    except ValueError:
        raise InvalidInstruction(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None
    if retries < 1:
        raise InvalidInstruction(f"--retries must be at least 1 (not {retries})")
    return retries
