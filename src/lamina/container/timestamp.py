"""Times as Docker writes them: RFC 3339 with up to nine digits of a second, in UTC."""

from __future__ import annotations

import re
import time

from lamina.errors import InvalidArgument

#: Go's zero time: what has not happened.
NEVER = "0001-01-01T00:00:00Z"
_SECOND = 1_000_000_000

# Compiled when first needed: most commands only write times.
_RFC3339 = r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9})\d*)?([Zz]|[+-]\d\d:\d\d)\Z"


def text(nanoseconds: int) -> str:
    """Nanoseconds since 1970 as text: trailing zeros of the fraction are left out, as Go does."""
    seconds, fraction = divmod(nanoseconds, _SECOND)
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    digits = f".{fraction:09d}".rstrip("0").rstrip(".")
    return f"{whole}{digits}Z"


def now() -> str:
    return text(time.time_ns())


def nanoseconds(value: str) -> int:
    """The reverse of :func:`text`, for any offset. Raises :class:`InvalidArgument`."""
    match = re.match(_RFC3339, value)
    if match is None:
        raise InvalidArgument(f'parsing time "{value}": not RFC 3339')
    year, month, day, hour, minute, second = (int(match[number]) for number in range(1, 7))
    days = _days_before(year, month, day)
    seconds = ((days * 24 + hour) * 60 + minute) * 60 + second
    if match[8] not in "Zz":
        sign = -1 if match[8][0] == "-" else 1
        seconds -= sign * (int(match[8][1:3]) * 60 + int(match[8][4:6])) * 60
    return seconds * _SECOND + int((match[7] or "0").ljust(9, "0"))


def _days_before(year: int, month: int, day: int) -> int:
    """Days from 1970-01-01 in the proleptic Gregorian calendar, years counted from March."""
    year -= month <= 2
    era, year_of_era = divmod(year, 400)
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    return era * 146097 + day_of_era - 719468
