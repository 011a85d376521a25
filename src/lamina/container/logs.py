"""Reading a container's log: ``docker logs``."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from lamina.container import jsonlog
from lamina.container.jsonlog import Entry

_POLL = 0.03


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
