"""Limits and rights as the container and its control groups have them."""

from __future__ import annotations

import json
import os
import resource
from pathlib import Path

import pytest

from lamina.linux import mount, process
from lamina.runtime import cgroup, controllers
from support.command import Lamina

pytestmark = [pytest.mark.root, pytest.mark.needs("crun")]

MB = 1 << 20
HOME = "/sys/fs/cgroup"
#: Where the kernel has AppArmor, docker's default profile denies every mount.
UNCONFINED = ("--security-opt", "apparmor=unconfined")


def group(container_id: str, *names: str, parent: str = "lamina") -> list[str]:
    """Contents of files of the container's groups: ``<controller>/<file>`` of version 1, ``<file>`` of version 2."""
    found = []
    for name in names:
        controller, slash, file = name.rpartition("/")
        found.append(Path(f"{HOME}/{controller}{slash}{parent}/{container_id}/{file}").read_text().strip())
    return found


def started(box: Lamina, *flags: str) -> str:
    return box("run", "-d", *flags, "busybox", "sleep", "600").strip()


def said(box: Lamina, *words: str) -> list[str]:
    return box("run", "--rm", *words).splitlines()


def test_limits_reach_the_control_groups(box: Lamina) -> None:
    flags = ["-m", "64m", "--memory-reservation", "32m", "--cpus", "0.5", "-c", "512", "--pids-limit", "20"]
    id = started(box, *flags, "--memory-swap", "96m")
    if cgroup.is_unified():
        files = ["memory.max", "memory.low", "cpu.max", "cpu.weight", "pids.max"]
        assert group(id, *files) == [str(64 * MB), str(32 * MB), "50000 100000", "20", "20"]
        if controllers.read().swap:
            assert group(id, "memory.swap.max") == [str(32 * MB)]
        return
    files = ["memory/memory.limit_in_bytes", "memory/memory.soft_limit_in_bytes", "cpu/cpu.cfs_quota_us"]
    assert group(id, *files) == [str(64 * MB), str(32 * MB), "50000"]
    assert group(id, "cpu/cpu.shares", "pids/pids.max") == ["512", "20"]


@pytest.mark.skipif(not controllers.read().cpuset, reason="this host has no cpuset")
def test_processors_can_be_chosen(box: Lamina) -> None:
    id = started(box, "--cpuset-cpus", "0")
    assert group(id, "cpuset.cpus" if cgroup.is_unified() else "cpuset/cpuset.cpus") == ["0"]


def test_the_parent_group_can_be_chosen_and_not_climbed_out_of(box: Lamina) -> None:
    homes = [HOME] if cgroup.is_unified() else [f"{HOME}/{name}" for name in os.listdir(HOME)]
    try:
        id = started(box, "--cgroup-parent", "../lamina-test/x/..")
        processes = "cgroup.procs" if cgroup.is_unified() else "pids/cgroup.procs"
        assert group(id, processes, parent="lamina-test") != [""]
        box("rm", "-f", id)
        assert not any(os.path.exists(f"{home}/lamina-test/{id}") for home in homes)
    finally:
        for home in homes:
            if os.path.isdir(f"{home}/lamina-test"):
                os.rmdir(f"{home}/lamina-test")


def test_too_much_memory_ends_it_and_is_told(box: Lamina) -> None:
    done = box.run("run", "--name", "big", "-m", "8m", "busybox", "dd", "if=/dev/zero", "of=/dev/null", "bs=64M")
    assert done.returncode == 137
    assert json.loads(box("inspect", "big"))[0]["State"]["OOMKilled"] is True


def test_ulimits_scores_and_kernel_parameters_are_the_processs(box: Lamina) -> None:
    script = "ulimit -n; ulimit -c; cat /proc/self/oom_score_adj /proc/sys/net/core/somaxconn"
    flags = ["--ulimit", "nofile=99:100", "--ulimit", "core=0", "--oom-score-adj", "321"]
    assert said(box, *flags, "--sysctl", "net.core.somaxconn=77", "busybox", "sh", "-c", script) == [
        *("99", "0", "321", "77")
    ]


@pytest.mark.skipif("CAP_SYS_RESOURCE" in process.effective_capabilities(), reason="this host can raise limits")
def test_what_the_host_can_not_give_is_a_warning(box: Lamina) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    done = box.run("run", "--rm", "--ulimit", f"nofile={hard + 1}", "busybox", "sh", "-c", "ulimit -n")
    assert (done.returncode, done.stdout) == (0, f"{hard}\n")
    assert done.stderr == f"WARNING: This host can not raise ulimit nofile to {hard + 1}. It is {hard}.\n"
    done = box.run("create", "--privileged", "--oom-score-adj", "-5", "busybox")
    assert [line.partition("to -5")[0] for line in done.stderr.splitlines()] == [
        "WARNING: This host can not lower the OOM score of a process ",
        "WARNING: This host can not give the capabilities SYS_RESOURCE. The container goes without.",
    ]


def test_capabilities_and_seccomp_follow_the_flags(box: Lamina) -> None:
    def status(*flags: str) -> dict[str, str]:
        lines = said(box, *flags, "busybox", "cat", "/proc/self/status")
        return dict(line.partition(":\t")[::2] for line in lines)

    assert status("--cap-drop", "ALL")["CapEff"] == "0" * 16
    assert int(status("--cap-drop", "all", "--cap-add", "cap_kill")["CapBnd"], 16) == 1 << 5
    assert status("--security-opt", "seccomp=unconfined")["Seccomp"] == "0"
    plain = status("--security-opt", "no-new-privileges")
    assert (plain["Seccomp"], plain["NoNewPrivs"]) == ("2", "1")
    privileged = status("--privileged")
    assert privileged["Seccomp"] == "0"
    assert int(privileged["CapEff"], 16).bit_count() == len(process.bounding_capabilities())


def test_a_profile_of_ones_own_is_the_policy(box: Lamina, tmp_path: Path) -> None:
    profile = tmp_path / "profile.json"
    calls = [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}]
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": calls}))
    done = box.run("run", "--rm", "--security-opt", f"seccomp={profile}", "busybox", "mkdir", "/new")
    assert done.returncode == 1
    assert "Function not implemented" in done.stderr


def test_mounting_needs_a_capability_and_has_its_seccomp_rule(box: Lamina) -> None:
    mount = ["busybox", "mount", "-t", "tmpfs", "x", "/mnt"]
    assert box.run("run", "--rm", *mount).returncode != 0
    able = ["--cap-add", "SYS_ADMIN", *UNCONFINED]
    box("run", "--rm", *able, "busybox", "sh", "-c", "mkdir -p /mnt && mount -t tmpfs x /mnt")


def test_devices_are_those_that_were_given(box: Lamina) -> None:
    script = "head -c 1 /dev/x >/dev/null && echo read; echo 1 > /dev/x || echo refused"
    assert said(box, "--device", "/dev/zero:/dev/x:r", "busybox", "sh", "-c", script)[0] == "read"
    refused = box.run("run", "--rm", "--device", "/dev/nosuch", "busybox", "true")
    assert refused.returncode == 127
    assert 'adding custom device "/dev/nosuch": no such file or directory' in refused.stderr
    made = "mknod /dev/y c 10 229 && : < /dev/y"  # /dev/fuse, which no container has by default
    denied = box.run("run", "--rm", "busybox", "sh", "-c", made)
    assert "Operation not permitted" in denied.stderr
    box("run", "--rm", "--device-cgroup-rule", "c 10:229 rwm", "busybox", "sh", "-c", made)


@pytest.mark.needs("docker-init")
def test_init_is_the_first_process_and_reaps(box: Lamina) -> None:
    assert said(box, "--init", "busybox", "cat", "/proc/1/comm") == ["docker-init"]
    assert box.run("run", "--rm", "--init", "busybox", "sh", "-c", "exit 7").returncode == 7
    assert said(box, "--init", "--pid", "host", "busybox", "cat", "/proc/self/comm") == ["cat"]


def test_shared_memory_has_its_size_and_can_be_none(box: Lamina) -> None:
    script = "df -k /dev/shm | tail -n 1"
    assert said(box, "--shm-size", "1m", "busybox", "sh", "-c", script)[0].split()[1] == "1024"
    assert said(box, "--ipc", "none", "busybox", "ls", "/dev").count("shm") == 0


def test_a_container_joins_anothers_namespaces(box: Lamina) -> None:
    box(
        "run",
        "-d",
        "--name",
        "donor",
        "--ipc",
        "shareable",
        "busybox",
        "sh",
        "-c",
        "echo hello > /dev/shm/x; exec sleep 600",
    )
    box("run", "-d", "--name", "private", "busybox", "sleep", "600")
    lines = said(
        box, "--ipc", "container:donor", "--pid", "container:donor", "busybox", "sh", "-c",
        "until [ -s /dev/shm/x ] && grep -q sleep /proc/1/comm; do :; done; cat /dev/shm/x; cat /proc/1/comm",
    )  # fmt: skip
    assert lines == ["hello", "sleep"]
    refused = box.run("run", "--rm", "--ipc", "container:private", "busybox", "true")
    assert "non-shareable IPC (hint: use IpcMode:shareable for the donor container)" in refused.stderr
    assert refused.returncode == 125
    assert "No such container: nosuch" in box.run("run", "--rm", "--pid", "container:nosuch", "busybox").stderr


def test_namespaces_of_the_host_can_be_used(box: Lamina) -> None:
    for flag, kind in (("--pid", "pid"), ("--ipc", "ipc"), ("--uts", "uts")):
        theirs = said(box, flag, "host", "busybox", "sh", "-c", f"ls -l /proc/self/ns/{kind} | sed 's/.*-> //'")
        assert theirs == [os.readlink(f"/proc/self/ns/{kind}")]


# --volumes-from


def test_volumes_come_from_other_containers(box: Lamina, tmp_path: Path) -> None:
    (tmp_path / "host").mkdir()
    box(
        "create", "--name", "data", "-v", "named:/named", "-v", "/anonymous", "-v", f"{tmp_path}/host:/bound", "busybox"
    )
    script = "echo 1 > /named/x; echo 2 > /anonymous/x; echo 3 > /bound/x"
    box("run", "--rm", "--volumes-from", "data", "busybox", "sh", "-c", script)
    assert (tmp_path / "host" / "x").read_text() == "3\n"
    script = "cat /named/x /anonymous/x; echo > /named/y || echo read-only"
    assert said(box, "--volumes-from", "data:ro", "-v", "/own", "busybox", "sh", "-c", script) == [
        "1",
        "2",
        "read-only",
    ]
    assert said(box, "--volumes-from", "data", "-v", "/named", "busybox", "cat", "/named/x") == ["1"]
    assert said(box, "--volumes-from", "data", "-v", "other:/named", "busybox", "ls", "/named") == []
    for text, words in (("nosuch", "No such container: nosuch"), ("data:bad", "invalid mode: bad")):
        assert words in box.run("create", "--volumes-from", text, "busybox").stderr


def test_mounts_propagate_both_ways_where_they_are_shared(box: Lamina, tmp_path: Path) -> None:
    shared = str(tmp_path / "shared")
    os.makedirs(f"{shared}/mine")
    os.makedirs(f"{shared}/hosts")
    mount.bind(shared, shared)
    try:
        mount.set_propagation(shared, mount.MS_PRIVATE)  # out of the root's group, where systemd has made that shared
        mount.set_propagation(shared, mount.MS_SHARED)
        script = "mount -t tmpfs x /s/mine && touch /s/mine/made && until [ -e /s/hosts/made ]; do sleep 0.1; done"
        bind = ["-v", f"{shared}:/s:rshared"]
        box(
            "run",
            "-d",
            "--name",
            "both",
            "--cap-add",
            "SYS_ADMIN",
            *UNCONFINED,
            *bind,
            "busybox",
            "sh",
            "-c",
            f"{script}; umount /s/mine",
        )
        mount.mount("x", f"{shared}/hosts", "tmpfs")
        Path(shared, "hosts", "made").touch()
        assert box("wait", "both") == "0\n"
        assert not mount.is_mount_point(f"{shared}/mine")
    finally:
        for point in mount.mount_points(shared):
            mount.unmount(point, lazy=True)


def test_what_can_not_propagate_is_refused(box: Lamina, tmp_path: Path) -> None:
    private = str(tmp_path / "private")
    os.mkdir(private)
    mount.bind(private, private)
    try:
        mount.set_propagation(private, mount.MS_PRIVATE)
        done = box.run("run", "--rm", "-v", f"{private}:/p:rshared", "busybox", "true")
        assert done.returncode == 125
        assert f"path {private} is mounted on {private} but it is not a shared mount." in done.stderr
    finally:
        mount.unmount(private)


# update


def test_limits_of_a_running_container_change(box: Lamina) -> None:
    id = started(box, "--name", "changing")
    assert box("update", "-m", "64m", "--memory-swap", "128m", "--cpus", "0.3", "-c", "77", "changing") == "changing\n"
    if cgroup.is_unified():
        files = ["memory.max", "cpu.max", "pids.max"]
        assert group(id, *files) == [str(64 * MB), "30000 100000", "max"]
    else:
        files = ["memory/memory.limit_in_bytes", "memory/memory.memsw.limit_in_bytes", "cpu/cpu.cfs_quota_us"]
        assert group(id, *files) == [str(64 * MB), str(128 * MB), "30000"]
    box("update", "-m", "256m", "--memory-swap", "-1", "--pids-limit", "9", "changing")
    if cgroup.is_unified():
        assert group(id, *files) == [str(256 * MB), "30000 100000", "9"]
    else:
        assert group(id, files[0], files[2], "pids/pids.max") == [str(256 * MB), "30000", "9"]
        assert int(*group(id, files[1])) > 1 << 60
    host_config = json.loads(box("inspect", "changing"))[0]["HostConfig"]
    wanted = {"Memory": 256 * MB, "MemorySwap": -1, "NanoCpus": 300_000_000, "CpuShares": 77, "PidsLimit": 9}
    assert {name: host_config[name] for name in wanted} == wanted


def test_a_stopped_container_starts_with_its_new_limits(box: Lamina) -> None:
    id = box("create", "--name", "stopped", "busybox", "sleep", "600").strip()
    box("update", "--pids-limit", "11", "--restart", "on-failure:3", "stopped")
    box("start", "stopped")
    assert group(id, "pids.max" if cgroup.is_unified() else "pids/pids.max") == ["11"]
    policy = json.loads(box("inspect", "stopped"))[0]["HostConfig"]["RestartPolicy"]
    assert policy == {"Name": "on-failure", "MaximumRetryCount": 3}
