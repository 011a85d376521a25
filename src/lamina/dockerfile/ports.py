"""Ports of ``EXPOSE`` and signals of ``STOPSIGNAL``."""

from __future__ import annotations

import signal

from lamina.dockerfile.failure import InvalidInstruction

_PROTOCOLS = ("tcp", "udp", "sctp")
_HIGHEST = 65535


def exposed(text: str) -> list[str]:
    """``80`` is ``["80/tcp"]``; ``90-91/udp`` is ``["90/udp", "91/udp"]``."""
    range_text, slash, protocol = text.partition("/")
    protocol = protocol.lower() if slash and protocol else "tcp"
    container = range_text.rpartition(":")[2]
    first, dash, last = container.partition("-")
    low = _number(first)
    high = _number(last) if dash else low
    if low is None or high is None or high < low:
        raise InvalidInstruction(f"Invalid containerPort: {container}")
    if protocol not in _PROTOCOLS:
        raise InvalidInstruction(f"Invalid proto: {protocol}")
    return [f"{port}/{protocol}" for port in range(low, high + 1)]


def _number(text: str) -> int | None:
    if not (text.isascii() and text.isdigit()) or len(text) > 5:
        return None
    return number if (number := int(text)) <= _HIGHEST else None


def is_signal(text: str) -> bool:
    """Whether ``text`` names a signal as Docker understands it: ``9``, ``KILL``, ``SIGKILL``, ``SIGRTMIN+3``."""
    if text.isascii() and text.isdigit():
        return 0 < int(text[:4]) < signal.NSIG
    name = text.upper().removeprefix("SIG")
    for base, sign in (("RTMIN", "+"), ("RTMAX", "-")):
        offset = name.removeprefix(base + sign)
        if offset != name:
            return offset.isascii() and offset.isdigit() and int(offset[:3]) <= 30 - (base == "RTMIN")
    return f"SIG{name}" in signal.Signals.__members__
