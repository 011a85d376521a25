"""Giving memory back that a process which waits for a long time does not need meanwhile."""

from __future__ import annotations

import ctypes
import gc

from lamina.linux.libc import LIBC

#: linux/mman.h (``asm-generic/mman-common.h``)
_MADV_DONTNEED = 4


def give_back() -> None:
    """Collect garbage, return free heap to the kernel, and unmap the pages of programs' code.

    Code that is executed again is mapped again from the page cache, some pages at each fault.
    """
    gc.collect()
    LIBC.malloc_trim(ctypes.c_size_t(0))
    for start, length in _code():
        LIBC.madvise(ctypes.c_void_p(start), ctypes.c_size_t(length), _MADV_DONTNEED)


def _code() -> list[tuple[int, int]]:
    """Start and length of each mapping of a file that is executable and can't be written: nothing in it is ours."""
    found = []
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
        for line in maps:
            fields = line.split(maxsplit=5)
            if fields[1] == "r-xp" and len(fields) > 5 and fields[5].startswith("/"):
                start, _, end = fields[0].partition("-")
                found.append((int(start, 16), int(end, 16) - int(start, 16)))
    return found
