"""Reading a container's log: ``docker logs``."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from itertools import chain

from lamina.collections import deque
from lamina.container import jsonlog
from lamina.container.jsonlog import Entry
from lamina.typing import NamedTuple, Protocol

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


class Form(Protocol):
    """How entries are in a file: the modules ``jsonlog`` and ``locallog``."""

    def lines(self, descriptor: int, offset: int) -> Iterator[tuple[bytes, int]]: ...

    def older_lines(self, path: str) -> Iterator[bytes]: ...

    def parse(self, line: bytes, /) -> Entry | None: ...

    def tail_offset(self, descriptor: int, count: int) -> int: ...


def read(path: str, request: LogRequest, running: Callable[[], bool], form: Form = jsonlog) -> Iterator[Entry]:
    """Entries of the log file at ``path``; none when it does not exist.

    :param running: asked while following; once it says no and the file is read to its end, this ends.
    """
    descriptor = _open(path, request.follow, running)
    if descriptor < 0:
        return
    try:
        older = jsonlog.rotated(path)
        offset = 0
        if older:
            yield from _older(older, descriptor, request, form)
            if request.tail is not None:
                offset = form.tail_offset(descriptor, request.tail)
        elif request.tail is not None:
            offset = form.tail_offset(descriptor, request.tail)
        while True:
            last = not (request.follow and running())
            for line, following in form.lines(descriptor, offset):
                offset = following
                entry = form.parse(line)
                if entry is None or entry.time < request.since:
                    continue
                if request.until is not None and entry.time > request.until:
                    return
                yield entry
            if (newer := _newer(path, descriptor, offset)) >= 0:
                os.close(descriptor)
                descriptor, offset = newer, 0
                continue
            if last or (request.until is not None and time.time_ns() > request.until):
                return
            time.sleep(_POLL)
    finally:
        os.close(descriptor)


def _older(paths: list[str], current: int, request: LogRequest, form: Form) -> Iterator[Entry]:
    """Entries of older files, as many as the request wants besides those of the current one."""
    wanted: deque[bytes] | None = None
    if request.tail is not None:
        here = sum(1 for _ in form.lines(current, 0))
        wanted = deque(maxlen=max(0, request.tail - here))
    for line in chain.from_iterable(map(form.older_lines, paths)):
        if wanted is not None:
            wanted.append(line)
        elif (entry := _within(line, request, form)) is not None:
            yield entry
    for line in wanted or ():
        if (entry := _within(line, request, form)) is not None:
            yield entry


def _within(line: bytes, request: LogRequest, form: Form) -> Entry | None:
    entry = form.parse(line)
    if entry is None or entry.time < request.since:
        return None
    return entry if request.until is None or entry.time <= request.until else None


def _newer(path: str, descriptor: int, offset: int) -> int:
    """The next file of the log when ``descriptor``, read to its end, is no longer the current one; the same file
    again when it was emptied; else -1."""
    try:
        now, then = os.stat(path), os.fstat(descriptor)
        if then.st_size > offset or (now.st_ino == then.st_ino and now.st_size >= offset):
            return -1
        return os.open(_next(path, then.st_ino), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return -1


def _next(path: str, inode: int) -> str:
    """Path of what follows the file ``inode``; the current file when that has gone or was compressed."""
    following = path
    for older in reversed(jsonlog.rotated(path)):
        if os.stat(older).st_ino == inode:
            return following
        following = older
    return path


def _open(path: str, follow: bool, running: Callable[[], bool]) -> int:
    while True:
        alive = follow and running()
        try:
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            if not alive:
                return -1
            time.sleep(_POLL)
