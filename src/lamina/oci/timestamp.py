"""Times as Docker and OCI documents have them: RFC 3339, nine digits of a second; and moments as users write them.

Every number here is nanoseconds since 1970-01-01 in UTC. A text is taken apart by hand: lists do it for ten thousand
images, and most commands need no regular expressions.
"""

from __future__ import annotations

import time

from lamina.errors import InvalidArgument

SECOND = 1_000_000_000
#: Go's zero ``time.Time``: what has not happened, or is not known.
ZERO = "0001-01-01T00:00:00Z"
ZERO_NANOSECONDS = -62135596800 * SECOND

_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
#: Units of Go's ``time.ParseDuration``.
_UNITS = {
    "h": 3600 * SECOND,
    "m": 60 * SECOND,
    "s": SECOND,
    "ms": 10**6,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ns": 1,
}


class InvalidTime(InvalidArgument):
    """The text is no time of RFC 3339."""

    def __init__(self, text: str) -> None:
        super().__init__(f'parsing time "{text}": not RFC 3339')


class InvalidMoment(InvalidArgument):
    """The text is neither a duration nor a time."""

    def __init__(self, text: str) -> None:
        super().__init__(f'failed to parse value as time or duration: "{text}"')


def text(nanoseconds: int) -> str:
    """A time in UTC as Go writes it: without the fraction's trailing zeros."""
    seconds, fraction = divmod(nanoseconds, SECOND)
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    digits = f".{fraction:09d}".rstrip("0").rstrip(".")
    return f"{whole}{digits}Z"


def fixed_text(nanoseconds: int) -> str:
    """A time in UTC with all nine digits, as log lines and ``docker info`` have it."""
    seconds, fraction = divmod(nanoseconds, SECOND)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{fraction:09d}Z"


def now() -> str:
    """The current time as :func:`text` writes it."""
    return text(time.time_ns())


def nanoseconds(value: str) -> int:
    """The reverse of :func:`text`, for any offset. Raises :class:`InvalidTime`."""
    digits = value[0:4] + value[5:7] + value[8:10] + value[11:13] + value[14:16] + value[17:19]
    marks = value[4:5] + value[7:8] + value[10:11] + value[13:14] + value[16:17]
    if marks not in ("--T::", "--t::") or len(digits) != 14 or not _is_number(digits):
        raise InvalidTime(value)
    fraction, offset = _tail(value)
    year, month, day = int(digits[:4]), int(digits[4:6]), int(digits[6:8])
    hour, minute, second = int(digits[8:10]), int(digits[10:12]), int(digits[12:])
    if not (_is_date(year, month, day) and hour < 24 and minute < 60 and second < 60):
        raise InvalidTime(value)
    seconds = _days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset
    return seconds * SECOND + int(fraction[:9].ljust(9, "0"))


def or_zero(value: str) -> int:
    """:func:`nanoseconds`, and Go's zero time for a text that is empty or no time."""
    try:
        return nanoseconds(value)
    except InvalidTime:
        return ZERO_NANOSECONDS


def seconds(value: str) -> int:
    """Whole seconds since 1970, as ``Created`` of lists; those of Go's zero time for what is no time."""
    return or_zero(value) // SECOND


def marshalled(value: str) -> str:
    """``value`` as Go marshals it again: no trailing zeros in the fraction, ``Z`` for a zero offset."""
    if or_zero(value) == ZERO_NANOSECONDS:
        return ZERO
    fraction, offset = _tail(value)
    digits = f".{fraction[:9]}".rstrip("0").rstrip(".")
    return f"{value[:10]}T{value[11:19]}{digits}{value[-6:] if offset else 'Z'}"


def moment(value: str) -> int:
    """What a user means by ``10m`` and ``1h30m`` (ago), seconds since 1970, or a time, whole or cut short.

    A time without an offset is this host's, as Docker has it. Raises :class:`InvalidMoment`.
    """
    span = duration(value)
    if span is not None and value != "0":
        return time.time_ns() - span
    whole, point, fraction = value.partition(".")
    if _is_number(whole.removeprefix("-")) and (_is_number(fraction) or not point):
        return int(whole) * SECOND + int(fraction[:9].ljust(9, "0"))
    for rest in ("", ":00", ":00:00", "T00:00:00"):
        for zone in ("", _local_zone()):
            try:
                return nanoseconds(value + rest + zone)
            except InvalidTime:
                continue
    raise InvalidMoment(value)


def _local_zone() -> str:
    """This host's offset now."""
    offset = time.localtime().tm_gmtoff
    hours, minutes = divmod(abs(offset) // 60, 60)
    return f"{'-' if offset < 0 else '+'}{hours:02}:{minutes:02}"


def duration(value: str) -> int | None:
    """Nanoseconds of a duration in Go's grammar, such as ``-1h15m30.918s``; ``None`` for anything else."""
    rest = value.lstrip("+-") if value[:1] in ("+", "-") and value[1:2] not in ("+", "-") else value
    total = 0
    while rest:
        number, rest = _split(rest, "0123456789.")
        unit, rest = _split(rest, "hmsunµμ")
        whole, _, fraction = number.partition(".")
        if unit not in _UNITS or not _is_number(whole + fraction):
            return None
        scale = _UNITS[unit]
        total += int(whole or "0") * scale + int(fraction or "0") * scale // 10 ** len(fraction)
    if not value.strip("+-"):
        return None
    return -total if value[0] == "-" else total


def _split(value: str, letters: str) -> tuple[str, str]:
    """The longest start of ``value`` that consists of ``letters``, and the rest."""
    rest = value.lstrip(letters)
    return value[: len(value) - len(rest)], rest


def _tail(value: str) -> tuple[str, int]:
    """Digits of the fraction (``""`` without one), and the offset in seconds. Raises :class:`InvalidTime`."""
    if value[-1:] in ("Z", "z"):
        fraction, offset = value[19:-1], 0
    else:
        zone = value[-6:]
        hours, minutes = zone[1:3], zone[4:]
        if zone[0:1] not in ("+", "-") or zone[3:4] != ":" or not _is_number(hours + minutes) or len(value) < 25:
            raise InvalidTime(value)
        fraction, offset = value[19:-6], int(hours) * 3600 + int(minutes) * 60
        if zone[0] == "-":
            offset = -offset
    if fraction and not (fraction[0] == "." and _is_number(fraction[1:])):
        raise InvalidTime(value)
    return fraction[1:], offset


def _is_number(value: str) -> bool:
    """Whether it consists of ASCII digits."""
    return value.isascii() and value.isdigit()


def _is_date(year: int, month: int, day: int) -> bool:
    if not 1 <= month <= 12 or not 1 <= day <= _DAYS[month - 1]:
        return False
    return (month, day) != (2, 29) or (year % 4 == 0 and (year % 100 != 0 or year % 400 == 0))


def _days(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 in the Gregorian calendar (counted from March, so that leap days come last)."""
    year -= month <= 2
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return year * 365 + year // 4 - year // 100 + year // 400 + of_year - 719468
