"""What the host's control groups can limit: version 1, hybrid and 2.

Facts are those that Docker looks for (moby's ``pkg/sysinfo``): the files of the kernel's ``admin-guide/cgroup-v1`` and
``admin-guide/cgroup-v2.rst``.
"""

from __future__ import annotations

import os

from lamina.linux.files import text_of
from lamina.runtime import cgroup
from lamina.typing import NamedTuple

_HOME = "/sys/fs/cgroup"


class Controllers(NamedTuple):
    """What can be limited here.

    :ivar processors: how many there are.
    :ivar cpus: the processors that a group may be given, as ``cpuset.cpus`` has them: ``0-3,8``.
    :ivar mems: the same for memory nodes.
    :ivar realtime: microseconds that containers may have of real-time scheduling, together.
    """

    memory: bool = True
    swap: bool = True
    reservation: bool = True
    swappiness: bool = True
    oom_kill_disable: bool = True
    kernel_memory: bool = True
    pids: bool = True
    shares: bool = True
    quota: bool = True
    cpuset: bool = True
    block_weight: bool = True
    block_weight_device: bool = True
    block_throttle: bool = True
    processors: int = 1
    cpus: str = "0"
    mems: str = "0"
    realtime: int = 0


#: Where groups can't be made.
_NOTHING = Controllers(False, False, False, False, False, False, False, False, False, False, False, False, False)


def read(home: str = _HOME, membership: str = "/proc/self/cgroup", modules: str = "/sys/module") -> Controllers:
    """The host's facts now."""
    processors = len(os.sched_getaffinity(0))
    if not cgroup.is_writable(home):
        return _NOTHING._replace(processors=processors, cpus=f"0-{processors - 1}")
    if cgroup.is_unified(home):
        return _version_2(home, membership, modules, processors)
    return _version_1(home, processors)


def _version_1(home: str, processors: int) -> Controllers:
    def has(name: str) -> bool:
        return os.path.exists(f"{home}/{name}")

    return Controllers(
        memory=has("memory/memory.limit_in_bytes"),
        swap=has("memory/memory.memsw.limit_in_bytes"),
        reservation=has("memory/memory.soft_limit_in_bytes"),
        swappiness=has("memory/memory.swappiness"),
        oom_kill_disable=has("memory/memory.oom_control"),
        kernel_memory=has("memory/memory.kmem.limit_in_bytes"),
        pids=has("pids"),
        shares=has("cpu/cpu.shares"),
        quota=has("cpu/cpu.cfs_quota_us"),
        cpuset=has("cpuset"),
        block_weight=has("blkio/blkio.weight"),
        block_weight_device=has("blkio/blkio.weight_device"),
        block_throttle=has("blkio/blkio.throttle.read_bps_device"),
        processors=processors,
        cpus=text_of(f"{home}/cpuset/cpuset.cpus").strip(),
        mems=text_of(f"{home}/cpuset/cpuset.mems").strip(),
        realtime=int(text_of(f"{home}/cpu/lamina/cpu.rt_runtime_us").strip() or 0),
    )


def _version_2(home: str, membership: str, modules: str, processors: int) -> Controllers:
    top = f"{home}{cgroup.top()}"
    words = frozenset(text_of(f"{top}/cgroup.controllers").split())
    own = ""  # the root of the hierarchy has no limits: whether there is one for swap is seen in a group
    for line in text_of(membership).splitlines():
        if line.startswith("0::"):
            own = line[3:]
    memory = "memory" in words
    # Weights are not the controller's own: iocost has them, which only the root group has files of, or bfq.
    weight = "io" in words and (os.path.exists(f"{home}/io.cost.qos") or os.path.isdir(f"{modules}/bfq"))
    return Controllers(
        memory=memory,
        swap=memory and (own == "/" or os.path.exists(f"{home}{own}/memory.swap.max")),
        reservation=memory,
        swappiness=False,
        oom_kill_disable=False,
        kernel_memory=False,
        pids="pids" in words,
        shares="cpu" in words,
        quota="cpu" in words,
        cpuset="cpuset" in words,
        block_weight=weight,
        block_weight_device=weight,
        block_throttle="io" in words,
        processors=processors,
        cpus=text_of(f"{top}/cpuset.cpus.effective").strip(),
        mems=text_of(f"{top}/cpuset.mems.effective").strip(),
    )
