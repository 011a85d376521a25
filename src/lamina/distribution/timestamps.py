"""RFC 3339 times as Docker and OCI documents have them."""

from __future__ import annotations

import time


def seconds(text: str) -> int:
    """Whole seconds since the epoch; 0 for a text that is empty, malformed or before 1970.

    The time of a file in an archive is decoration: a configuration with a strange one can still be saved.
    """
    from datetime import UTC, datetime

    try:
        moment = datetime.fromisoformat(text)
        return max(0, int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()))
    except (ValueError, OverflowError):
        return 0


def now() -> str:
    """The current time in UTC with nanoseconds, as Go writes it."""
    whole, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    fraction = f".{nanoseconds:09d}".rstrip("0").rstrip(".")
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + fraction + "Z"
