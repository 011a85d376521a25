"""Limits of memory, processors, processes and block devices."""

from __future__ import annotations

from lamina.cli.command import CommandError, Options
from lamina.cli.container.createflags import parsed
from lamina.cli.flags import Flag, integer, switch, text, texts
from lamina.typing import Any

#: What ``update`` can change too.
CHANGEABLE: tuple[Flag, ...] = (
    integer("blkio-weight", "Block IO (relative weight), between 10 and 1000, or 0 to disable (default 0)"),
    integer("cpu-period", "Limit CPU CFS (Completely Fair Scheduler) period"),
    integer("cpu-quota", "Limit CPU CFS (Completely Fair Scheduler) quota"),
    integer("cpu-rt-period", "Limit CPU real-time period in microseconds"),
    integer("cpu-rt-runtime", "Limit CPU real-time runtime in microseconds"),
    integer("cpu-shares", "CPU shares (relative weight)", short="c"),
    text("cpus", "Number of CPUs", type_name="decimal", parse=parsed("processors")),
    text("cpuset-cpus", "CPUs in which to allow execution (0-3, 0,1)"),
    text("cpuset-mems", "MEMs in which to allow execution (0-3, 0,1)"),
    text("kernel-memory", "Kernel memory limit", type_name="bytes", parse=parsed("size")),
    text("memory", "Memory limit", short="m", type_name="bytes", parse=parsed("size")),
    text("memory-reservation", "Memory soft limit", type_name="bytes", parse=parsed("size")),
    text(
        "memory-swap",
        "Swap limit equal to memory plus swap: '-1' to enable unlimited swap",
        type_name="bytes",
        parse=parsed("swap_size"),
    ),
    integer("pids-limit", "Tune container pids limit (set -1 for unlimited)"),
)

FLAGS: tuple[Flag, ...] = (
    *CHANGEABLE,
    texts("blkio-weight-device", "Block IO weight (relative device weight)", parse=parsed("weighted_device")),
    texts("device-read-bps", "Limit read rate (bytes per second) from a device", parse=parsed("device_bytes")),
    texts("device-read-iops", "Limit read rate (IO per second) from a device", parse=parsed("device_operations")),
    texts("device-write-bps", "Limit write rate (bytes per second) to a device", parse=parsed("device_bytes")),
    texts("device-write-iops", "Limit write rate (IO per second) to a device", parse=parsed("device_operations")),
    integer("memory-swappiness", "Tune container memory swappiness (0 to 100)", default=-1),
    switch("oom-kill-disable", "Disable OOM Killer"),
)

_MEMBERS = (
    ("blkio-weight", "BlkioWeight"),
    ("blkio-weight-device", "BlkioWeightDevice"),
    ("cpu-period", "CpuPeriod"),
    ("cpu-quota", "CpuQuota"),
    ("cpu-rt-period", "CpuRealtimePeriod"),
    ("cpu-rt-runtime", "CpuRealtimeRuntime"),
    ("cpu-shares", "CpuShares"),
    ("cpus", "NanoCpus"),
    ("cpuset-cpus", "CpusetCpus"),
    ("cpuset-mems", "CpusetMems"),
    ("device-read-bps", "BlkioDeviceReadBps"),
    ("device-read-iops", "BlkioDeviceReadIOps"),
    ("device-write-bps", "BlkioDeviceWriteBps"),
    ("device-write-iops", "BlkioDeviceWriteIOps"),
    ("kernel-memory", "KernelMemory"),
    ("memory", "Memory"),
    ("memory-reservation", "MemoryReservation"),
    ("memory-swap", "MemorySwap"),
    ("oom-kill-disable", "OomKillDisable"),
)


def config(options: Options) -> dict[str, Any]:
    return {}


def changes(options: Options) -> dict[str, Any]:
    """What ``update`` is to change, of the members that have a flag there."""
    found = {member: options.value(name) for name, member in _MEMBERS if options.given(name)}
    if options.given("pids-limit"):
        found["PidsLimit"] = options.integer("pids-limit")
    return found


def host_config(options: Options) -> dict[str, Any]:
    """Raises :class:`CommandError` with docker's words."""
    found = {member: options.value(name) for name, member in _MEMBERS if options.given(name)}
    limit = options.integer("pids-limit")
    if limit > 0:
        found["PidsLimit"] = limit
    swappiness = options.integer("memory-swappiness")
    if options.given("memory-swappiness") and swappiness != -1:
        if not 0 <= swappiness <= 100:
            raise CommandError(f"invalid value: {swappiness}. Valid memory swappiness range is 0-100")
        found["MemorySwappiness"] = swappiness
    return found


def advice(options: Options) -> list[str]:
    """What docker's command line itself warns of."""
    if options.on("oom-kill-disable") and not options.value("memory"):
        return ["Disabling the OOM killer on containers without setting a '-m/--memory' limit may be dangerous."]
    return []
