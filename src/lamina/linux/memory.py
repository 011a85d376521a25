"""Giving memory back that a process which waits most of the time does not need meanwhile."""

from __future__ import annotations

import gc
import math
import time

from lamina.linux import ctypes
from lamina.linux.libc import LIBC
from lamina.typing import TYPE_CHECKING

if TYPE_CHECKING:
    import select

#: linux/mman.h (``asm-generic/mman-common.h``)
_MADV_DONTNEED = 4
_madvise = LIBC.madvise
_madvise.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
#: After so long a process is taken for one that will be there for a while.
_SETTLED_SECONDS = 1.0
#: When it has been woken, it probably waits again after so long,
_REST_SECONDS = 0.05
#: and it is not tidied up after more often than that.
_TIDYING_SECONDS = 0.5


def unmap_files() -> None:
    """Unmap the pages of files that nobody has changed: programs' code and constants.

    What is used again is mapped again from the page cache, some pages at each fault. Where it can't be found out what
    is mapped, as in a system that has no descriptor left, nothing is unmapped.
    """
    try:
        found = _unchanged()
    except OSError:
        return
    # The interpreter has the lowest addresses and is needed for the calls that unmap the rest.
    for start, length in reversed(found):
        _madvise(start, length, _MADV_DONTNEED)


def collect() -> None:
    """Collect garbage, and return free heap to the kernel."""
    gc.collect()
    LIBC.malloc_trim(ctypes.c_size_t(0))


def _unchanged() -> list[tuple[int, int]]:
    """Start and length of what is mapped of files that can't be written and has no page of our own, by addresses.

    A library's table of addresses can't be written either, but was before the linker had filled it in: such pages are
    anonymous, and lost when they are unmapped. Raises :class:`OSError`.
    """
    found: list[tuple[int, int]] = []
    bounds = b""
    with open("/proc/self/smaps", "rb") as maps:
        for line in maps:
            if line.startswith(b"VmFlags:"):  # the last line about a mapping
                if bounds:
                    start, end = (int(number, 16) for number in bounds.split(b"-"))
                    if found and sum(found[-1]) == start:
                        start = found.pop()[0]
                    found.append((start, end - start))
            elif line.startswith((b"Anonymous:", b"Swap:")):
                if line.split()[1] != b"0":
                    bounds = b""
            elif not line[:1].isupper():
                fields = line.split(maxsplit=5)
                is_ours = len(fields) > 5 and fields[5].startswith(b"/") and fields[1] in (b"r--p", b"r-xp")
                bounds = fields[0] if is_ours else b""
    return found


class Thrift:
    """Waits for a process that does so most of the time, and gives memory back meanwhile.

    It does so once the process has settled, and unmaps files again soon after each time that it was woken. Both come
    when they are due, also in a process that never rests: one that is woken all the time still settles.
    """

    def __init__(self) -> None:
        self._due = time.monotonic() + _SETTLED_SECONDS
        self._has_settled = False
        self._tidied_at = 0.0

    def poll(self, poll: select.poll, seconds: float | None) -> list[tuple[int, int]]:
        """What ``poll`` has found within ``seconds``; ``None`` for any time."""
        now = time.monotonic()
        if self._due == math.inf:
            self._due = max(now + _REST_SECONDS, self._tidied_at + _TIDYING_SECONDS)
        end = math.inf if seconds is None else now + seconds
        if now < self._due:
            happened = poll.poll(_milliseconds(min(self._due, end) - now))
            now = time.monotonic()
            if happened or end <= now:
                return happened
        timeout = None if end == math.inf else _milliseconds(end - now)
        if not self._has_settled:
            self._has_settled = True
            collect()
        self._tidied_at = now
        self._due = math.inf
        unmap_files()
        return poll.poll(timeout)  # what has been unmapped comes back with little between that and this


def _milliseconds(seconds: float) -> int:
    """Rounded up: before the time it would be woken again and again."""
    return int(max(0.0, seconds) * 1000) + 1
