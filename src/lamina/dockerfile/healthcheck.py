"""``HEALTHCHECK``: ``NONE``, or ``CMD`` with ``--interval``, ``--timeout``, ``--start-period``, ``--retries``."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lamina.dockerfile.failure import InvalidInstruction, quoted
from lamina.dockerfile.flags import Flags, Kind
from lamina.typing import Any

_DURATIONS = {
    "interval": "Interval",
    "timeout": "Timeout",
    "start-period": "StartPeriod",
    "start-interval": "StartInterval",
}
_FLAGS: dict[str, Kind] = {**dict.fromkeys(_DURATIONS, "string"), "retries": "string"}
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
_LONGEST = (1 << 63) - 1
_MOST_RETRIES = (1 << 31) - 1


def read(arguments: Sequence[str], flags: Sequence[str], is_json: bool) -> dict[str, Any]:
    """Docker's ``HealthConfig``, durations in nanoseconds; a zero is left out and means the default.

    :param arguments: the kind, then the command's words; one word of shell text unless ``is_json``.
    """
    kind, *command = arguments
    if kind.upper() == "NONE":
        if command:
            raise InvalidInstruction("HEALTHCHECK NONE takes no arguments", at=command[0])
        return {"Test": ["NONE"]}
    given = Flags(flags, _FLAGS)
    if kind.upper() != "CMD":
        raise InvalidInstruction(f"Unknown type {quoted(kind.upper())} in HEALTHCHECK (try CMD)", at=kind)
    if not command:
        raise InvalidInstruction("Missing command after HEALTHCHECK CMD", at=kind)
    check: dict[str, Any] = {"Test": ["CMD" if is_json else "CMD-SHELL", *command]}
    for name, member in _DURATIONS.items():
        if duration := _checked_duration(name, given.text(name)):
            check[member] = duration
    if retries := _retries(given.text("retries")):
        check["Retries"] = retries
    return check


def _checked_duration(name: str, text: str) -> int:
    value = _nanoseconds(text) if text else 0
    if value and value < _MILLISECOND:
        raise InvalidInstruction(f'Interval "{name}" cannot be less than 1ms', at=f"--{name}")
    return value


def _nanoseconds(text: str) -> int:
    """Go's ``time.ParseDuration``."""
    body = text[1:] if text[:1] in ("+", "-") else text
    parts = _DURATION.findall(body)
    if body == "0":
        return 0
    if not parts or "".join(number + unit for number, unit in parts) != body:
        raise InvalidInstruction(f"time: invalid duration {quoted(text)}", at=text)
    total = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if total > _LONGEST:
        raise InvalidInstruction(f"time: invalid duration {quoted(text)}", at=text)
    return -round(total) if text.startswith("-") else round(total)


def _retries(text: str) -> int:
    if not text:
        return 0
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not (digits.isascii() and digits.isdigit()):
        raise InvalidInstruction(f"strconv.ParseInt: parsing {quoted(text)}: invalid syntax", at=text)
    if len(digits) > 20 or abs(int(text)) > _MOST_RETRIES:
        raise InvalidInstruction(f"strconv.ParseInt: parsing {quoted(text)}: value out of range", at=text)
    if int(text) < 0:
        raise InvalidInstruction(f"--retries cannot be negative ({int(text)})", at=text)
    return int(text)
