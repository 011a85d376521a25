"""Reading a container's log: ``docker logs``."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from lamina.container import jsonlog, timestamp
from lamina.container.jsonlog import Entry
from lamina.errors import InvalidArgument

_POLL = 0.03
_DURATION = r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)"
_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}


class LogRequest(NamedTuple):
    """What to show.

    :ivar tail: how many entries from the end; ``None`` for all.
    :ivar since: nanoseconds since 1970; entries before are left out.
    :ivar until: entries after are left out; ``None`` for no limit.
    :ivar follow: go on until the container stops.
    """

    tail: int | None = None
    since: int = 0
    until: int | None = None
    follow: bool = False


def read(path: str, request: LogRequest, running: Callable[[], bool]) -> Iterator[Entry]:
    """Entries of the log file at ``path``; none when it does not exist.

    :param running: asked while following; once it says no and the file is read to its end, this ends.
    """
    descriptor = _open(path, request.follow, running)
    if descriptor < 0:
        return
    try:
        offset = 0 if request.tail is None else jsonlog.tail_offset(descriptor, request.tail)
        while True:
            last = not (request.follow and running())
            for line, following in jsonlog.lines(descriptor, offset):
                offset = following
                entry = jsonlog.parse(line)
                if entry is None or entry.time < request.since:
                    continue
                if request.until is not None and entry.time > request.until:
                    return
                yield entry
            if last or (request.until is not None and time.time_ns() > request.until):
                return
            time.sleep(_POLL)
    finally:
        os.close(descriptor)


def _open(path: str, follow: bool, running: Callable[[], bool]) -> int:
    while True:
        alive = follow and running()
        try:
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            if not alive:
                return -1
            time.sleep(_POLL)


def parse_time(text: str, flag: str) -> int:
    """``--since`` and ``--until``: RFC 3339, seconds since 1970, or a duration before now (``10m``).

    :param flag: the flag's name, for Docker's message.
    """
    if not text:
        return 0
    body = text.removeprefix("-")
    parts = re.findall(_DURATION, body)
    if parts and "".join(number + unit for number, unit in parts) == body:
        ago = round(sum(float(number) * _UNITS[unit] for number, unit in parts))
        return time.time_ns() - (-ago if text.startswith("-") else ago)
    if re.fullmatch(r"-?\d+(\.\d{1,9})?", text):
        whole, _, fraction = text.partition(".")
        return int(whole) * 10**9 + int((fraction or "0").ljust(9, "0"))
    for candidate in (text, f"{text}Z", f"{text}:00Z", f"{text}:00:00Z", f"{text}T00:00:00Z"):
        try:
            return timestamp.nanoseconds(candidate)
        except InvalidArgument:
            continue
    raise InvalidArgument(f'invalid value for "{flag}": failed to parse value as time or duration: "{text}"')
