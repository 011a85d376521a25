"""Limits of a container: what ``HostConfig`` says, checked as Docker checks it, and as the runtime-spec has it.

Messages, warnings and their order are those of Docker 20.10 (``daemon_unix.go``). What the host can't limit is
discarded with a warning. Loaded only when a container has a limit.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping

from lamina.container.configuring import InvalidSetting
from lamina.container.parts import Parts
from lamina.container.record import Container
from lamina.runtime import controllers
from lamina.runtime.controllers import Controllers
from lamina.typing import Any

_MINIMUM = 6 << 20
_PERIOD = 100_000
_NOT_MOUNTED = "or the cgroup is not mounted."

#: Member of ``HostConfig`` with limits of devices, what Docker calls them, and the member of ``blockIO``.
_THROTTLES = (
    ("BlkioDeviceReadBps", "BPS Block I/O read limit", "Block I/O BPS read limit", "throttleReadBpsDevice"),
    ("BlkioDeviceWriteBps", "BPS Block I/O write limit", "Block I/O BPS write limit", "throttleWriteBpsDevice"),
    ("BlkioDeviceReadIOps", "IOPS Block read limit", "Block I/O IOPS read limit", "throttleReadIOPSDevice"),
    ("BlkioDeviceWriteIOps", "IOPS Block write limit", "Block I/O IOPS write limit", "throttleWriteIOPSDevice"),
)


def check(parts: Parts, container: Container) -> list[str]:
    """See :mod:`lamina.container.rare`."""
    return examine(container.host_config, controllers.read())


def examine(wanted: dict[str, Any], host: Controllers, *, update: bool = False) -> list[str]:
    """Warnings for the user; ``wanted`` (members of ``HostConfig``) loses what the host can't do.

    :param update: ``wanted`` are changes of a container that has limits already.
    :raises InvalidSetting: with Docker's message.
    """
    if not update and wanted["Memory"] > 0 and not wanted["MemorySwap"]:
        wanted["MemorySwap"] = 2 * wanted["Memory"]
    warnings: list[str] = []
    _check_memory(wanted, host, warnings, update=update)
    _check_rest_of_memory(wanted, host, warnings)
    _check_processors(wanted, host, warnings)
    _check_cpuset(wanted, host, warnings)
    _check_block(wanted, host, warnings)
    return warnings


def _check_memory(wanted: dict[str, Any], host: Controllers, warnings: list[str], *, update: bool) -> None:
    if wanted["Memory"] and wanted["Memory"] < _MINIMUM:
        raise InvalidSetting("Minimum memory limit allowed is 6MB")
    if wanted["Memory"] > 0 and not host.memory:
        warnings.append(f"Your kernel does not support memory limit capabilities {_NOT_MOUNTED} Limitation discarded.")
        wanted["Memory"], wanted["MemorySwap"] = 0, -1
    memory = wanted["Memory"]
    if memory > 0 and wanted["MemorySwap"] != -1 and not host.swap:
        warnings.append(
            f"Your kernel does not support swap limit capabilities {_NOT_MOUNTED} Memory limited without swap."
        )
        wanted["MemorySwap"] = -1
    if memory > 0 and 0 < wanted["MemorySwap"] < memory:
        raise InvalidSetting("Minimum memoryswap limit should be larger than memory limit, see usage")
    if memory == 0 and wanted["MemorySwap"] > 0 and not update:
        raise InvalidSetting("You should always set the Memory limit when using Memoryswap limit, see usage")


def _check_rest_of_memory(wanted: dict[str, Any], host: Controllers, warnings: list[str]) -> None:
    swappiness = wanted["MemorySwappiness"]
    if swappiness is not None and not host.swappiness:
        what = "memory swappiness capabilities"
        warnings.append(f"Your kernel does not support {what} {_NOT_MOUNTED} Memory swappiness discarded.")
        wanted["MemorySwappiness"] = None
    elif swappiness is not None and not 0 <= swappiness <= 100:
        raise InvalidSetting(f"Invalid value: {swappiness}, valid memory swappiness range is 0-100")
    if wanted["MemoryReservation"] > 0 and not host.reservation:
        what = "memory soft limit capabilities"
        warnings.append(f"Your kernel does not support {what} {_NOT_MOUNTED} Limitation discarded.")
        wanted["MemoryReservation"] = 0
    reservation = wanted["MemoryReservation"]
    if 0 < reservation < _MINIMUM:
        raise InvalidSetting("Minimum memory reservation allowed is 6MB")
    if 0 < wanted["Memory"] < reservation:
        raise InvalidSetting("Minimum memory limit can not be less than memory reservation limit, see usage")
    if wanted["KernelMemory"] > 0:
        warnings.append("Specifying a kernel memory limit is deprecated and will be removed in a future release.")
    if wanted["KernelMemory"] > 0 and not host.kernel_memory:
        what = "kernel memory limit capabilities"
        warnings.append(f"Your kernel does not support {what} {_NOT_MOUNTED} Limitation discarded.")
        wanted["KernelMemory"] = 0
    if 0 < wanted["KernelMemory"] < _MINIMUM:
        raise InvalidSetting("Minimum kernel memory limit allowed is 6MB")
    if wanted["OomKillDisable"] and not host.oom_kill_disable:
        warnings.append("Your kernel does not support OomKillDisable. OomKillDisable discarded.")
        wanted["OomKillDisable"] = None
    elif wanted["OomKillDisable"] and not wanted["Memory"]:
        warnings.append(
            "OOM killer is disabled for the container, but no memory limit is set, "
            "this can result in the system running out of resources."
        )
    if wanted["PidsLimit"] is not None and not host.pids:
        if wanted["PidsLimit"] > 0:
            what = "PIDs limit capabilities"
            warnings.append(f"Your kernel does not support {what} {_NOT_MOUNTED} PIDs limit discarded.")
        wanted["PidsLimit"] = None


def _check_processors(wanted: dict[str, Any], host: Controllers, warnings: list[str]) -> None:
    nano = wanted["NanoCpus"]
    for member, words in (("CpuPeriod", "CPU Period"), ("CpuQuota", "CPU Quota")):
        if nano > 0 and wanted[member] > 0:
            raise InvalidSetting(f"Conflicting options: Nano CPUs and {words} cannot both be set")
    if nano > 0 and not host.quota:
        raise InvalidSetting(
            "NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler or the cgroup is not mounted"
        )
    if not 0 <= nano <= host.processors * 10**9:
        number = host.processors
        raise InvalidSetting(f"Range of CPUs is from 0.01 to {number}.00, as there are only {number} CPUs available")
    if wanted["CpuShares"] > 0 and not host.shares:
        warnings.append(f"Your kernel does not support CPU shares {_NOT_MOUNTED} Shares discarded.")
        wanted["CpuShares"] = 0
    if (wanted["CpuPeriod"] or wanted["CpuQuota"]) and not host.quota:
        warnings.append("Your kernel does not support CPU CFS scheduler. CPU period/quota discarded.")
        wanted["CpuPeriod"] = wanted["CpuQuota"] = 0
    if wanted["CpuPeriod"] and not 1000 <= wanted["CpuPeriod"] <= 1_000_000:
        raise InvalidSetting("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)")
    if 0 < wanted["CpuQuota"] < 1000:
        raise InvalidSetting("CPU cfs quota can not be less than 1ms (i.e. 1000)")
    if wanted["CpuPercent"] > 0:
        warnings.append("linux does not support CPU percent. Percent discarded.")
        wanted["CpuPercent"] = 0
    period, runtime = wanted["CpuRealtimePeriod"], wanted["CpuRealtimeRuntime"]
    if period and runtime > period:
        raise InvalidSetting("cpu real-time runtime cannot be higher than cpu real-time period")
    if runtime > host.realtime:
        warnings.append(
            "The parent control group has no CPU real-time runtime to give. CPU real-time runtime discarded."
        )


def _check_cpuset(wanted: dict[str, Any], host: Controllers, warnings: list[str]) -> None:
    if (wanted["CpusetCpus"] or wanted["CpusetMems"]) and not host.cpuset:
        warnings.append(f"Your kernel does not support cpuset {_NOT_MOUNTED} Cpuset discarded.")
        wanted["CpusetCpus"] = wanted["CpusetMems"] = ""
    for member, short, words, available in (
        ("CpusetCpus", "cpus", "CPUs", host.cpus),
        ("CpusetMems", "mems", "memory nodes", host.mems),
    ):
        text = wanted[member]
        try:
            numbers = members(text)
        except ValueError as error:
            raise InvalidSetting(f"Invalid value {text} for cpuset {short}: {error}") from None
        if text and not numbers <= members(available):
            raise InvalidSetting(f"Requested {words} are not available - requested {text}, available: {available}")


def members(text: str) -> frozenset[int]:
    """Numbers of a list as ``cpuset.cpus`` has it: ``0-3,8``. Raises :class:`ValueError` with Docker's words."""
    found: set[int] = set()
    for part in text.split(",") if text else ():
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise ValueError(f"invalid format: {part}")
        if len(first) > 5 or len(last) > 5 or int(last or first) < int(first):
            raise ValueError(f"invalid format: {part}")
        found.update(range(int(first), int(last or first) + 1))
    return frozenset(found)


def _check_block(wanted: dict[str, Any], host: Controllers, warnings: list[str]) -> None:
    kernel = "Your kernel does not support"
    if wanted["BlkioWeight"] > 0 and not host.block_weight:
        warnings.append(f"{kernel} Block I/O weight {_NOT_MOUNTED} Weight discarded.")
        wanted["BlkioWeight"] = 0
    if wanted["BlkioWeight"] and not 10 <= wanted["BlkioWeight"] <= 1000:
        raise InvalidSetting("Range of blkio weight is from 10 to 1000")
    if wanted["IOMaximumBandwidth"] or wanted["IOMaximumIOps"]:
        raise InvalidSetting("Invalid QoS settings: linux does not support Maximum IO Bandwidth or Maximum IO IOps")
    if wanted["BlkioWeightDevice"] and not host.block_weight_device:
        warnings.append(f"{kernel} Block I/O weight_device {_NOT_MOUNTED} Weight-device discarded.")
        wanted["BlkioWeightDevice"] = []
    for member, what, discarded, _ in _THROTTLES:
        if wanted[member] and not host.block_throttle:
            warnings.append(f"{kernel} {what} {_NOT_MOUNTED} {discarded} discarded.")
            wanted[member] = []


# The runtime-spec


def resources(wanted: dict[str, Any], host: Controllers) -> dict[str, Any]:
    """``linux.resources`` without devices, from checked members of ``HostConfig``.

    :raises InvalidSetting: a device is not there, with Docker's message.
    """
    found = {
        "memory": _memory(wanted),
        "cpu": _cpu(wanted, host),
        "pids": _pids(wanted),
        "blockIO": _block(wanted),
    }
    return {key: value for key, value in found.items() if value}


def write(document: dict[str, Any], container: Container, joined: Mapping[str, str]) -> None:
    """See :mod:`lamina.container.rare`."""
    document["linux"]["resources"].update(resources(container.host_config, controllers.read()))


def _memory(wanted: dict[str, Any]) -> dict[str, Any]:
    # KernelMemory stays out: no kernel since 5.16 takes it, and runc leaves it out too.
    found: dict[str, Any] = {}
    for member, name in (("Memory", "limit"), ("MemoryReservation", "reservation"), ("MemorySwap", "swap")):
        value = wanted.get(member) or 0
        if value > 0:
            found[name] = value
    if wanted.get("MemorySwappiness") is not None:
        found["swappiness"] = wanted["MemorySwappiness"]
    if wanted.get("OomKillDisable"):
        found["disableOOMKiller"] = True
    return found


def _cpu(wanted: dict[str, Any], host: Controllers) -> dict[str, Any]:
    shares = wanted.get("CpuShares") or 0
    if shares < 0:
        raise InvalidSetting("shares: invalid argument")
    found: dict[str, Any] = {
        "shares": shares,
        "period": wanted.get("CpuPeriod"),
        "quota": wanted.get("CpuQuota"),
        "cpus": wanted.get("CpusetCpus"),
        "mems": wanted.get("CpusetMems"),
    }
    if wanted.get("NanoCpus"):
        found["period"] = wanted.get("CpuPeriod") or _PERIOD
        found["quota"] = wanted["NanoCpus"] * found["period"] // 10**9
    runtime = wanted.get("CpuRealtimeRuntime") or 0
    if runtime <= host.realtime:
        found["realtimeRuntime"], found["realtimePeriod"] = runtime, wanted.get("CpuRealtimePeriod")
    return {key: value for key, value in found.items() if value}


def _pids(wanted: dict[str, Any]) -> dict[str, Any]:
    limit = wanted.get("PidsLimit") or 0
    return {"limit": limit} if limit > 0 else {}  # crun writes -1 to the kernel, which does not take it


def _block(wanted: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if wanted.get("BlkioWeight"):
        found["weight"] = wanted["BlkioWeight"]
    if wanted.get("BlkioWeightDevice"):
        found["weightDevice"] = [
            {**_device(entry["Path"]), "weight": entry["Weight"]} for entry in wanted["BlkioWeightDevice"]
        ]
    for member, _, _, name in _THROTTLES:
        if wanted.get(member):
            found[name] = [{**_device(entry["Path"]), "rate": entry["Rate"]} for entry in wanted[member]]
    return found


def _device(path: str) -> dict[str, int]:
    """Numbers of the device at host path ``path``."""
    try:
        status = os.stat(path)
    except OSError as error:
        raise InvalidSetting(f"stat {path}: {(error.strerror or '').lower()}") from error
    if not stat.S_ISBLK(status.st_mode):
        raise InvalidSetting(f"{path}: not a block device")
    return {"major": os.major(status.st_rdev), "minor": os.minor(status.st_rdev)}
