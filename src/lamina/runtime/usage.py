"""What a control group has used: version 1, hybrid and 2.

Formats: the kernel's ``admin-guide/cgroup-v1`` (memory, cpuacct, blkio-controller) and ``admin-guide/cgroup-v2.rst``,
proc(5) for ``/proc/stat`` and ``/proc/<pid>/net/dev``.
"""

from __future__ import annotations

import os

from lamina.linux.files import text_of
from lamina.runtime import cgroup
from lamina.typing import NamedTuple

_HOME = "/sys/fs/cgroup"
_TICKS = os.sysconf("SC_CLK_TCK")
#: Fields of ``/proc/stat`` that make up a processor's whole time; what follows is among them already.
_TIMES = 8


class Usage(NamedTuple):
    """One reading. Times in nanoseconds, the rest in bytes.

    :ivar processor: time of all its processes on all processors.
    :ivar system: time of the whole host, idle or not, on all processors.
    :ivar memory: page cache included.
    :ivar limit: of memory; that of the host where there is none.
    :ivar inactive: page cache that can be dropped at once.
    """

    processor: int = 0
    user: int = 0
    kernel: int = 0
    system: int = 0
    processors: int = 0
    memory: int = 0
    largest: int = 0
    limit: int = 0
    inactive: int = 0
    processes: int = 0
    processes_limit: int = 0
    read: int = 0
    written: int = 0


class Traffic(NamedTuple):
    """Counters of a network interface."""

    received: int
    received_packets: int
    received_errors: int
    received_dropped: int
    sent: int
    sent_packets: int
    sent_errors: int
    sent_dropped: int


def read(path: str, home: str = _HOME) -> Usage:
    """A reading of the group ``path``, relative to each hierarchy; 0 for what is not counted there."""
    usage = _version_2(f"{home}{path}") if cgroup.is_unified(home) else _version_1(home, path)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = usage.limit if 0 < usage.limit < memory else memory
    return usage._replace(limit=limit, system=_system(), processors=len(os.sched_getaffinity(0)))


def traffic(pid: int) -> dict[str, Traffic]:
    """Counters of the interfaces that the process sees, but for the loopback; by name."""
    found = {}
    for line in text_of(f"/proc/{pid}/net/dev").splitlines()[2:]:
        name, _, numbers = line.partition(":")
        fields = [int(field) for field in numbers.split()]
        if name.strip() != "lo" and len(fields) >= 12:
            found[name.strip()] = Traffic(*fields[0:4], *fields[8:12])
    return found


def _version_1(home: str, path: str) -> Usage:
    memory = f"{home}/memory{path}"
    accounting = f"{home}/cpuacct{path}"
    times = _pairs(f"{accounting}/cpuacct.stat")
    read, written = _transferred(text_of(f"{home}/blkio{path}/blkio.throttle.io_service_bytes_recursive").splitlines())
    return Usage(
        processor=_number(f"{accounting}/cpuacct.usage"),
        user=times.get("user", 0) * 10**9 // _TICKS,
        kernel=times.get("system", 0) * 10**9 // _TICKS,
        memory=_number(f"{memory}/memory.usage_in_bytes"),
        largest=_number(f"{memory}/memory.max_usage_in_bytes"),
        limit=_number(f"{memory}/memory.limit_in_bytes"),
        inactive=_pairs(f"{memory}/memory.stat").get("total_inactive_file", 0),
        processes=_number(f"{home}/pids{path}/pids.current"),
        processes_limit=_number(f"{home}/pids{path}/pids.max"),
        read=read,
        written=written,
    )


def _version_2(group: str) -> Usage:
    times = _pairs(f"{group}/cpu.stat")
    read = written = 0
    for line in text_of(f"{group}/io.stat").splitlines():
        counters = dict(word.partition("=")[::2] for word in line.split()[1:])
        read += int(counters.get("rbytes", 0))
        written += int(counters.get("wbytes", 0))
    return Usage(
        processor=times.get("usage_usec", 0) * 1000,
        user=times.get("user_usec", 0) * 1000,
        kernel=times.get("system_usec", 0) * 1000,
        memory=_number(f"{group}/memory.current"),
        largest=_number(f"{group}/memory.peak"),
        limit=_number(f"{group}/memory.max"),
        inactive=_pairs(f"{group}/memory.stat").get("inactive_file", 0),
        processes=_number(f"{group}/pids.current"),
        processes_limit=_number(f"{group}/pids.max"),
        read=read,
        written=written,
    )


def _transferred(lines: list[str]) -> tuple[int, int]:
    """Bytes read and written, of lines as ``254:0 Read 4096``."""
    sums = {"Read": 0, "Write": 0}
    for line in lines:
        fields = line.split()
        if len(fields) == 3 and fields[1] in sums:
            sums[fields[1]] += int(fields[2])
    return sums["Read"], sums["Write"]


def _system() -> int:
    for line in text_of("/proc/stat").splitlines():
        if line.startswith("cpu "):
            return sum(int(field) for field in line.split()[1 : 1 + _TIMES]) * 10**9 // _TICKS
    return 0


def _number(path: str) -> int:
    """A file's number; 0 for ``max`` and for a file that is not there."""
    lines = text_of(path).splitlines()
    return int(lines[0]) if lines and lines[0].isdecimal() else 0


def _pairs(path: str) -> dict[str, int]:
    fields = (line.split() for line in text_of(path).splitlines())
    return {pair[0]: int(pair[1]) for pair in fields if len(pair) == 2 and pair[1].isdecimal()}
