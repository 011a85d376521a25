"""Giving memory back that a process which waits most of the time does not need meanwhile."""

from __future__ import annotations

import ctypes
import gc
import math
import time

from lamina.linux.libc import LIBC
from lamina.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

#: linux/mman.h (``asm-generic/mman-common.h``)
_MADV_DONTNEED = 4
#: After so long a process is taken for one that will be there for a while.
_SETTLED_SECONDS = 1.0
#: When it has been woken, it probably waits again after so long,
_REST_SECONDS = 0.1
#: and it is not tidied up after more often than that.
_TIDYING_SECONDS = 0.5


def give_back() -> None:
    """Collect garbage, return free heap to the kernel, and unmap files."""
    gc.collect()
    LIBC.malloc_trim(ctypes.c_size_t(0))
    unmap_files()


def unmap_files() -> None:
    """Unmap the pages of files that nobody has changed: programs' code and constants.

    What is used again is mapped again from the page cache, some pages at each fault.
    """
    for start, length in tuple(_unchanged()):
        LIBC.madvise(ctypes.c_void_p(start), ctypes.c_size_t(length), _MADV_DONTNEED)


def _unchanged() -> Iterator[tuple[int, int]]:
    """Start and length of each mapping of a file that can't be written and has no page of our own.

    A library's table of addresses can't be written either, but was before the linker had filled it in: such pages are
    anonymous, and lost when they are unmapped.
    """
    bounds = b""
    with open("/proc/self/smaps", "rb") as maps:
        for line in maps:
            if line.startswith(b"VmFlags:"):  # the last line about a mapping
                if bounds:
                    start, _, end = bounds.partition(b"-")
                    yield int(start, 16), int(end, 16) - int(start, 16)
            elif line.startswith((b"Anonymous:", b"Swap:")):
                if line.split()[1] != b"0":
                    bounds = b""
            elif not line[:1].isupper():
                fields = line.split(maxsplit=5)
                is_ours = len(fields) > 5 and fields[5].startswith(b"/") and fields[1] in (b"r--p", b"r-xp")
                bounds = fields[0] if is_ours else b""


class Thrift:
    """Gives memory back once a process has settled, and unmaps files again soon after each time that it was woken.

    Both come when they are due, also in a process that never rests: one that is woken all the time still settles.
    """

    def __init__(self) -> None:
        self._due = time.monotonic() + _SETTLED_SECONDS
        self._has_settled = False
        self._tidied_at = 0.0

    def seconds(self) -> float | None:
        """Until :meth:`step` has something to do; ``None`` for never, unless the process is woken."""
        return None if self._due == math.inf else max(0.0, self._due - time.monotonic())

    def step(self, *, woken: bool) -> None:
        """Do what is due.

        :param woken: whether the process had something to do since the last step.
        """
        now = time.monotonic()
        if now >= self._due:
            if self._has_settled:
                unmap_files()
            else:
                give_back()
            self._has_settled = True
            self._due = math.inf
            self._tidied_at = now
        elif woken and self._has_settled:
            self._due = min(self._due, max(now + _REST_SECONDS, self._tidied_at + _TIDYING_SECONDS))
