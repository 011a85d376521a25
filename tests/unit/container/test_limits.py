"""What a host can't limit is discarded with Docker's warning; the rest becomes ``linux.resources``."""

from __future__ import annotations

from typing import Any

import pytest

from lamina.container import defaults, limits
from lamina.container.configuring import InvalidSetting
from lamina.runtime.controllers import Controllers

MB = 1 << 20
HOST = Controllers(processors=4, cpus="0-3", mems="0")
NOTHING = Controllers(*([False] * 13), processors=4)


def wanted(**members: Any) -> dict[str, Any]:
    return defaults.host_config(members, cgroup_namespace="host")


def test_limits_become_resources() -> None:
    host_config = wanted(
        Memory=64 * MB,
        MemoryReservation=32 * MB,
        NanoCpus=1_500_000_000,
        CpuShares=512,
        PidsLimit=7,
        CpusetCpus="0,2-3",
    )
    assert limits.examine(host_config, HOST) == []
    assert limits.resources(host_config, HOST) == {
        "memory": {"limit": 64 * MB, "reservation": 32 * MB, "swap": 128 * MB},
        "cpu": {"shares": 512, "period": 100_000, "quota": 150_000, "cpus": "0,2-3"},
        "pids": {"limit": 7},
    }


def test_what_is_unlimited_is_no_limit() -> None:
    host_config = wanted(Memory=64 * MB, MemorySwap=-1, PidsLimit=-1)
    limits.examine(host_config, HOST)
    assert limits.resources(host_config, HOST) == {"memory": {"limit": 64 * MB}}


def test_no_swappiness_is_a_wish() -> None:
    host_config = wanted(MemorySwappiness=0)
    assert limits.examine(host_config, HOST) == []
    assert limits.resources(host_config, HOST) == {"memory": {"swappiness": 0}}


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"Memory": 5 * MB}, "Minimum memory limit allowed is 6MB"),
        ({"MemorySwap": 64 * MB}, "You should always set the Memory limit when using Memoryswap limit, see usage"),
        ({"MemorySwappiness": 101}, "Invalid value: 101, valid memory swappiness range is 0-100"),
        ({"MemoryReservation": MB}, "Minimum memory reservation allowed is 6MB"),
        ({"NanoCpus": 5 * 10**9}, r"Range of CPUs is from 0.01 to 4.00, as there are only 4 CPUs available"),
        ({"CpuQuota": 10}, r"CPU cfs quota can not be less than 1ms \(i.e. 1000\)"),
        ({"CpusetCpus": "0-7"}, "Requested CPUs are not available - requested 0-7, available: 0-3"),
        ({"CpusetCpus": "3-1"}, "Invalid value 3-1 for cpuset cpus: invalid format: 3-1"),
        ({"CpusetMems": "1"}, "Requested memory nodes are not available - requested 1, available: 0"),
        ({"BlkioWeight": 5}, "Range of blkio weight is from 10 to 1000"),
        ({"IOMaximumIOps": 5}, "Invalid QoS settings"),
    ],
)
def test_what_makes_no_sense_is_refused_in_dockers_words(members: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidSetting, match=message):
        limits.examine(wanted(**members), HOST)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"Memory": 64 * MB}, "memory limit capabilities or the cgroup is not mounted. Limitation discarded."),
        ({"MemoryReservation": 64 * MB}, "memory soft limit capabilities"),
        ({"MemorySwappiness": 10}, "memory swappiness capabilities"),
        ({"OomKillDisable": True}, "OomKillDisable discarded."),
        ({"PidsLimit": 10}, "PIDs limit discarded."),
        ({"CpuShares": 10}, "Shares discarded."),
        ({"CpuQuota": 10_000}, "CPU period/quota discarded."),
        ({"CpusetCpus": "0"}, "Cpuset discarded."),
        ({"BlkioWeight": 100}, "Weight discarded."),
        ({"BlkioDeviceReadBps": [{"Path": "/dev/sda", "Rate": 1}]}, "Block I/O BPS read limit discarded."),
    ],
)
def test_what_the_host_lacks_is_discarded_with_a_warning(members: dict[str, Any], words: str) -> None:
    host_config = wanted(**members)
    warnings = limits.examine(host_config, NOTHING)
    assert any(warning.startswith("Your kernel does not support") and words in warning for warning in warnings)
    assert limits.resources(host_config, NOTHING) == {}


def test_memory_is_limited_without_swap_where_swap_can_not_be() -> None:
    host_config = wanted(Memory=64 * MB)
    assert "Memory limited without swap." in limits.examine(host_config, HOST._replace(swap=False))[0]
    assert limits.resources(host_config, HOST) == {"memory": {"limit": 64 * MB}}


def test_real_time_needs_a_parent_that_has_some() -> None:
    host_config = wanted(CpuRealtimePeriod=1000, CpuRealtimeRuntime=500)
    assert limits.resources(host_config, HOST) == {}
    assert limits.resources(host_config, HOST._replace(realtime=900)) == {
        "cpu": {"realtimePeriod": 1000, "realtimeRuntime": 500}
    }


def test_an_update_may_change_swap_alone() -> None:
    limits.examine(wanted(MemorySwap=64 * MB), HOST, update=True)


def test_a_limit_of_a_device_needs_the_device() -> None:
    with pytest.raises(InvalidSetting, match="stat /dev/nosuch: no such file or directory"):
        limits.resources(wanted(BlkioDeviceReadBps=[{"Path": "/dev/nosuch", "Rate": 1}]), HOST)


@pytest.mark.parametrize("text", ["a", "1-", "-1", "1,,2", "0-999999", "2-1"])
def test_other_texts_are_no_lists_of_processors(text: str) -> None:
    with pytest.raises(ValueError, match="invalid format"):
        limits.members(text)
