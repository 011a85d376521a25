"""What a host's control groups can limit, by the files that it has."""

from __future__ import annotations

from pathlib import Path

from lamina.runtime import controllers


def make(home: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(home)


def test_version_1_is_known_by_its_files(tmp_path: Path) -> None:
    home = make(
        tmp_path,
        {
            "memory/memory.limit_in_bytes": "1",
            "memory/memory.soft_limit_in_bytes": "1",
            "memory/memory.oom_control": "",
            "cpu/cpu.shares": "1024",
            "cpu/cpu.cfs_quota_us": "-1",
            "cpu/lamina/cpu.rt_runtime_us": "950000",
            "cpuset/cpuset.cpus": "0-3\n",
            "cpuset/cpuset.mems": "0\n",
            "pids/tasks": "",
            "blkio/blkio.throttle.read_bps_device": "",
        },
    )
    found = controllers.read(home)
    lacking = {"swap", "swappiness", "kernel_memory", "block_weight", "block_weight_device"}
    assert {name for name, value in found._asdict().items() if value is False} == lacking
    assert (found.cpus, found.mems, found.realtime) == ("0-3", "0", 950000)


def test_version_2_is_known_by_its_controllers(tmp_path: Path) -> None:
    home = make(
        tmp_path / "cgroup",
        {
            "cgroup.controllers": "cpuset cpu memory pids\n",
            "cpuset.cpus.effective": "0-1\n",
            "cpuset.mems.effective": "0\n",
            "user/memory.swap.max": "max\n",
        },
    )
    membership = tmp_path / "membership"
    membership.write_text("0::/user\n")
    found = controllers.read(home, str(membership))
    lacking = {"swappiness", "oom_kill_disable", "kernel_memory", *("block_weight", "block_weight_device")}
    assert {name for name, value in found._asdict().items() if value is False} == {*lacking, "block_throttle"}
    assert (found.cpus, found.mems) == ("0-1", "0")
    membership.write_text("0::/other\n")
    assert not controllers.read(home, str(membership)).swap


def test_a_host_without_control_groups_limits_nothing(tmp_path: Path) -> None:
    assert not any(controllers.read(str(tmp_path))[:13])


def test_weights_of_version_2_need_somebody_who_weighs(tmp_path: Path) -> None:
    home = make(tmp_path / "cgroup", {"cgroup.controllers": "io memory\n"})
    (tmp_path / "modules").mkdir()

    def weighs() -> tuple[bool, bool]:
        found = controllers.read(home, "/dev/null", str(tmp_path / "modules"))
        assert found.block_throttle
        return found.block_weight, found.block_weight_device

    assert weighs() == (False, False)
    (tmp_path / "modules/bfq").mkdir()
    assert weighs() == (True, True)
    (tmp_path / "modules/bfq").rmdir()
    make(tmp_path / "cgroup", {"io.cost.qos": ""})
    assert weighs() == (True, True)
