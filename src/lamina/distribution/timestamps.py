"""RFC 3339 times as Docker and OCI documents have them."""

from __future__ import annotations

import re
import time

_RFC3339 = re.compile(r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.\d+)?(?:[Zz]|([+-])(\d\d):(\d\d))\Z")


def seconds(text: str) -> int:
    """Whole seconds since the epoch; 0 for a text that is empty, malformed or before 1970.

    The time of a file in an archive is decoration: a configuration with a strange one can still be saved.
    """
    import calendar

    match = _RFC3339.match(text)
    if match is None:
        return 0
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    if year < 1970 or not 1 <= month <= 12 or not 1 <= day <= 31:
        return 0
    offset = 0
    if match[7]:
        offset = (int(match[8]) * 60 + int(match[9])) * (60 if match[7] == "+" else -60)
    return max(0, calendar.timegm((year, month, day, hour, minute, second, 0, 0, 0)) - offset)


def now() -> str:
    """The current time in UTC with nanoseconds, as Go writes it."""
    whole, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    fraction = f".{nanoseconds:09d}".rstrip("0").rstrip(".")
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + fraction + "Z"
