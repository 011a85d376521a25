"""What a control group has used, from the kernel's files."""

from __future__ import annotations

import os
from pathlib import Path

from lamina.container.record import Container
from lamina.container.statistics import Reading, Statistics
from lamina.runtime import usage
from lamina.runtime.usage import Traffic, Usage

MB = 1 << 20


def make(home: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(home)


def test_version_1_has_a_hierarchy_for_each(tmp_path: Path) -> None:
    home = make(
        tmp_path,
        {
            "cpuacct/lamina/x/cpuacct.usage": "12345\n",
            "cpuacct/lamina/x/cpuacct.stat": "user 3\nsystem 5\n",
            "memory/lamina/x/memory.usage_in_bytes": f"{9 * MB}\n",
            "memory/lamina/x/memory.max_usage_in_bytes": f"{10 * MB}\n",
            "memory/lamina/x/memory.limit_in_bytes": f"{64 * MB}\n",
            "memory/lamina/x/memory.stat": f"cache 1\ninactive_file 1\ntotal_inactive_file {MB}\n",
            "pids/lamina/x/pids.current": "3\n",
            "pids/lamina/x/pids.max": "max\n",
            "blkio/lamina/x/blkio.throttle.io_service_bytes_recursive": "254:0 Read 10\n254:0 Write 20\n"
            "7:0 Read 1\n254:0 Total 30\nTotal 31\n",
        },
    )
    found = usage.read("/lamina/x", home)
    assert found[:3] == (12345, 3 * 10**9 // os.sysconf("SC_CLK_TCK"), 5 * 10**9 // os.sysconf("SC_CLK_TCK"))
    assert (found.memory, found.largest, found.limit, found.inactive) == (9 * MB, 10 * MB, 64 * MB, MB)
    assert (found.processes, found.processes_limit, found.read, found.written) == (3, 0, 11, 20)
    assert found.system > 0


def test_version_2_has_one_directory(tmp_path: Path) -> None:
    home = make(
        tmp_path,
        {
            "cgroup.controllers": "cpu memory pids io",
            "lamina/x/cpu.stat": "usage_usec 12\nuser_usec 5\nsystem_usec 7\n",
            "lamina/x/memory.current": str(9 * MB),
            "lamina/x/memory.max": "max\n",
            "lamina/x/memory.stat": f"anon 5\ninactive_file {MB}\n",
            "lamina/x/pids.current": "2\n",
            "lamina/x/pids.max": "7\n",
            "lamina/x/io.stat": "254:0 rbytes=5 wbytes=6 rios=1\n7:0 rbytes=1 wbytes=0\n",
        },
    )
    found = usage.read("/lamina/x", home)
    assert found[:3] == (12_000, 5_000, 7_000)
    assert (found.memory, found.inactive, found.processes, found.processes_limit) == (9 * MB, MB, 2, 7)
    assert found.limit == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert (found.read, found.written) == (6, 6)


def test_a_group_that_is_gone_has_used_nothing(tmp_path: Path) -> None:
    found = usage.read("/lamina/x", str(tmp_path))
    assert (found.processor, found.memory, found.processes) == (0, 0, 0)


def test_a_processs_interfaces_are_counted_but_the_loopback() -> None:
    assert "lo" not in usage.traffic(os.getpid())
    assert usage.traffic(1 << 30) == {}


def test_shares_are_computed_as_docker_does() -> None:
    before = Reading(Usage(processor=100, system=1000), {})
    counters = {"eth0": Traffic(5, 0, 0, 0, 7, 0, 0, 0), "eth1": Traffic(1, 0, 0, 0, 1, 0, 0, 0)}
    now = Reading(Usage(processor=200, system=2000, processors=2, memory=30, inactive=10, limit=80), counters)
    found = Statistics(Container({}, {}), now, before)
    assert (found.processor_percent, found.memory, found.memory_percent) == (20.0, 20, 25.0)
    assert (found.received, found.sent) == (6, 8)
    nothing = Statistics(Container({}, {}), before, before)
    assert (nothing.processor_percent, nothing.memory_percent) == (0.0, 0.0)
