"""Sizes and times as docker prints them (docker's ``go-units`` and the Go standard library)."""

from __future__ import annotations

import time

from lamina.functools import lru_cache

_DECIMAL = ("B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB")
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB")
#: The longest Go ``time.Duration``, which a difference of two times saturates at.
_LONGEST = (1 << 63) / 1e9


@lru_cache(1024)
def human_size(size: float, digits: int = 4) -> str:
    """``1.982MB``: decimal units, ``digits`` significant digits. ``docker images`` shows 3."""
    return _scaled(size, 1000.0, _DECIMAL, digits)


def binary_size(size: float) -> str:
    """``23.54GiB``."""
    return _scaled(size, 1024.0, _BINARY, 4)


def _scaled(size: float, base: float, units: tuple[str, ...], digits: int) -> str:
    index = 0
    while size >= base and index < len(units) - 1:
        size /= base
        index += 1
    return f"{size:.{digits}g}{units[index]}"


def human_duration(seconds: float) -> str:
    """``About an hour``, ``3 weeks``."""
    seconds = min(seconds, _LONGEST)
    whole = int(seconds)
    minutes = int(seconds / 60)
    hours = int(seconds / 3600 + 0.5)
    if whole < 1:
        return "Less than a second"
    if whole == 1:
        return "1 second"
    if whole < 60:
        return f"{whole} seconds"
    if minutes == 1:
        return "About a minute"
    if minutes < 60:
        return f"{minutes} minutes"
    if hours == 1:
        return "About an hour"
    if hours < 48:
        return f"{hours} hours"
    if hours < 24 * 7 * 2:
        return f"{hours // 24} days"
    if hours < 24 * 30 * 2:
        return f"{hours // 24 // 7} weeks"
    if hours < 24 * 365 * 2:
        return f"{hours // 24 // 30} months"
    return f"{int(seconds / 3600) // 24 // 365} years"


def ago(created: float, now: float | None = None) -> str:
    """``3 weeks ago``; ``created`` in seconds since 1970."""
    return human_duration((time.time() if now is None else now) - created) + " ago"


def local_time(created: int) -> str:
    """A time as Go prints it: ``2006-01-02 15:04:05 +0000 UTC`` in the local time zone."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(created))
    except (OverflowError, OSError, ValueError):
        return "0001-01-01 00:00:00 +0000 UTC"


def local_rfc3339(created: int) -> str:
    """``2006-01-02T15:04:05+01:00`` in the local time zone, ``Z`` for UTC."""
    try:
        moment = time.localtime(created)
    except (OverflowError, OSError, ValueError):
        return "0001-01-01T00:00:00Z"
    offset = time.strftime("%z", moment)
    zone = "Z" if offset == "+0000" else f"{offset[:3]}:{offset[3:]}"
    return f"{moment.tm_year:04d}" + time.strftime("-%m-%dT%H:%M:%S", moment) + zone


def short_id(id: str) -> str:
    """An ID without its algorithm, cut to 12 digits."""
    return id.partition(":")[2][:12] if ":" in id else id[:12]


def ellipsis(text: str, width: int) -> str:
    """``text`` cut to ``width`` columns, the last of them ``…``. East Asian wide characters take two columns."""
    if text.isascii():
        return text if len(text) <= width else text[: max(width - 1, 0)] + "…"
    return _wide_ellipsis(text, width)


def _wide_ellipsis(text: str, width: int) -> str:
    from unicodedata import east_asian_width

    widths = [2 if east_asian_width(character) in "WF" else 1 for character in text]
    if sum(widths) <= width:
        return text
    used = end = 0
    while end < len(text) and used + widths[end] <= width - 1:
        used += widths[end]
        end += 1
    return text[:end] + "…"
