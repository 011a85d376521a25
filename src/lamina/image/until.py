"""``--filter until=``: a moment, written as Docker lets one write it."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

from lamina.errors import InvalidArgument

_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:h|m|s|ms))+\Z")
_PART = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s)")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_SECONDS = re.compile(r"\d+(?:\.\d{1,9})?\Z")


class InvalidMoment(InvalidArgument):
    """The text is neither a duration nor a time."""

    def __init__(self, text: str) -> None:
        super().__init__(f'failed to parse value as time or duration: "{text}"')


def moment(text: str) -> datetime:
    """``10m`` and ``1h30m`` (ago), seconds since 1970, a date, or a time with or without an offset (UTC).

    :raises InvalidMoment: none of them.
    """
    if _DURATION.match(text):
        ago = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
        return datetime.fromtimestamp(time.time() - ago, UTC)
    if _SECONDS.match(text):
        return datetime.fromtimestamp(float(text), UTC)
    return parse_time(text)


def parse_time(text: str) -> datetime:
    """RFC 3339, whole or cut short after the date or the minute. Raises :class:`InvalidMoment`."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidMoment(text) from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
