"""RFC 3339 times of configurations as Docker's API gives them."""

from __future__ import annotations

import re

#: Go's zero ``time.Time``.
ZERO = "0001-01-01T00:00:00Z"
_ZERO_SECONDS = -62135596800
_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))\Z", re.ASCII
)


def _days(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 in the Gregorian calendar (counted from March, so that leap days come last)."""
    year -= month <= 2
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return year * 365 + year // 4 - year // 100 + year // 400 + of_year - 719468


def nanoseconds(text: str) -> int:
    """Nanoseconds since 1970; Go's zero time for a text that is empty or no time."""
    match = _RFC3339.match(text)
    if match is None:
        return _ZERO_SECONDS * 1_000_000_000
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    seconds = _days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second
    if match[8]:
        offset = int(match[9]) * 3600 + int(match[10]) * 60
        seconds += offset if match[8] == "-" else -offset
    return seconds * 1_000_000_000 + int((match[7] or "").ljust(9, "0")[:9])


def seconds(text: str) -> int:
    """Whole seconds since 1970, as ``Created`` of an image list."""
    return nanoseconds(text) // 1_000_000_000


def marshalled(text: str) -> str:
    """``text`` as Go marshals it again: no trailing zeros in the fraction, ``Z`` for a zero offset."""
    match = _RFC3339.match(text)
    if match is None:
        return ZERO
    fraction = (match[7] or "")[:9].rstrip("0")
    offset = f"{match[8]}{match[9]}:{match[10]}" if match[8] else "Z"
    offset = "Z" if offset[1:] == "00:00" else offset
    return text[:10] + "T" + text[11:19] + (f".{fraction}" if fraction else "") + offset
