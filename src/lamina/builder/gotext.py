"""Values as Go's ``fmt`` prints them, because Docker's history texts are made that way.

Source: Go's ``strconv.Quote`` and ``time.Duration.String``.
"""

from __future__ import annotations

from collections.abc import Sequence

from lamina.dockerfile.failure import quoted

__all__ = ["duration", "plain_list", "quoted", "quoted_list", "quoted_number"]


def quoted_list(words: Sequence[str] | None) -> str:
    """``%q`` of a list of strings."""
    return "[" + " ".join(quoted(word) for word in words or ()) + "]"


def plain_list(words: Sequence[str]) -> str:
    """``%v`` of a list of strings."""
    return "[" + " ".join(words) + "]"


def quoted_number(number: int) -> str:
    """``%q`` of an integer: the character with that code."""
    char = chr(number) if 0 <= number < 0x110000 else "\ufffd"
    inside = {"'": "\\'", '"': '"'}.get(char) or quoted(char)[1:-1]
    return f"'{inside}'"


def duration(nanoseconds: int) -> str:
    """``1m30s``, ``500ms``, ``0s``."""
    if not nanoseconds:
        return "0s"
    sign, rest = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    if rest < 10**9:
        for unit, size in (("ms", 10**6), ("\u00b5s", 10**3), ("ns", 1)):
            if rest >= size:
                return f"{sign}{_decimal(rest, size)}{unit}"
    hours, rest = divmod(rest, 3600 * 10**9)
    minutes, rest = divmod(rest, 60 * 10**9)
    larger = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{sign}{larger}{_decimal(rest, 10**9)}s"


def _decimal(value: int, unit: int) -> str:
    whole, part = divmod(value, unit)
    if not part:
        return str(whole)
    return f"{whole}.{str(part).zfill(len(str(unit)) - 1).rstrip('0')}"
