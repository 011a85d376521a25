"""Flags of ``create`` on docker and on lamina: the same refusals and warnings, and the same ``HostConfig``."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest

from lamina.linux import process
from support.pair import Answer, Pair

pytestmark = [pytest.mark.root, pytest.mark.dockerd]

#: What neither takes, and what is said about it.
REFUSED = """
--memory 5m
--memory abc
--memory 64m --memory-swap 32m
--memory-swap 64m
--memory 64m --memory-reservation 100m
--memory-reservation 1m
--memory-swappiness 101
--kernel-memory 1m
--cpus 1000
--cpus x
--cpus 1 --cpu-period 1000
--cpu-period 10
--cpu-quota 10
--cpuset-cpus 0-700
--cpuset-cpus a
--cpuset-mems 30
--cpu-rt-period 1000 --cpu-rt-runtime 2000
--blkio-weight-device /dev/vda:2
--blkio-weight-device vda:200
--device-read-bps /dev/vda
--device-read-bps /dev/vda:x
--device-write-iops /dev/vda:-5
--ulimit nofile=300:200
--ulimit nosuch=1
--ulimit nofile
--ulimit nofile=1:2:3
--device /dev/null:/dev/x:q
--device null
--device a:b:c:d
--device-cgroup-rule bad
--gpus x
--cap-add NOSUCH
--cap-drop NOSUCH
--security-opt seccomp=/nosuch
--security-opt no-new-privileges:x
--security-opt systempaths=x
--security-opt x
--pid container:nosuch
--pid bad
--ipc container:nosuch
--uts bad
--uts host --hostname x
--cgroupns bad
--userns bad
--shm-size -1
--sysctl bad
--oom-score-adj 5000
--oom-score-adj x
--storage-opt size=10G
--storage-opt foo=bar
--storage-opt foo
--runtime nosuch
--isolation process
--volumes-from nosuch
--volumes-from nosuch:bad
-p ::1:18081:80
-p [::1:80
-p 80:80:80:80
-p localhost:1:80
-p 65536:80
-p 80-81:80-85
-p [::1]x:80:80
--cidfile /nosuch/dir
--name a
"""

#: What both take.
TAKEN = """
--memory 64m --memory-reservation 32m --memory-swappiness 10 --pids-limit 100
--memory 64m --memory-swap -1 --oom-kill-disable
--oom-kill-disable
--kernel-memory 10m --pids-limit -1
--cpus 1.5 --cpu-shares 512 --cpuset-cpus 0 --cpuset-mems 0
--cpu-period 50000 --cpu-quota 25000
--blkio-weight 300 --blkio-weight-device /dev/vda:200
--device-read-bps /dev/vda:1mb --device-write-iops /dev/nosuch:5
--ulimit nofile=100 --ulimit nproc=100:200 --ulimit nofile=6 --ulimit core=-1
--device /dev/null:/dev/x:rw --device /dev/zero:r --device-cgroup-rule 'c 1:* r'
--gpus all
--cap-add CAP_sys_admin --cap-drop all
--security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt label=disable
--security-opt systempaths=unconfined --security-opt no-new-privileges
--init --shm-size 32m --runtime runc --cgroup-parent foo --isolation default --disable-content-trust
--pid host
--ipc host --uts host --cgroupns private --userns host
--ipc shareable
--sysctl net.core.somaxconn=100 --sysctl kernel.shmmax=1000 --oom-score-adj 500 --volume-driver local
"""


def created(pair: Pair, line: str) -> tuple[tuple[Answer, Any], tuple[Answer, Any]]:
    """What both said to ``create``, and ``HostConfig`` of what they made."""
    name = "made"
    answers = pair.ask("create", "--name", name, "--network", "none", *shlex.split(line), "plain", "x")
    documents: list[Any] = [None, None]
    if answers[0].code == 0:
        said = pair.ask("container", "inspect", "--format", "{{json .HostConfig}}", name)
        documents = [json.loads(answer.out) if answer.code == 0 else answer.err for answer in said]
    pair.ask("rm", "-f", name)
    shown = [answer._replace(out="") for answer in answers]
    return (shown[0], documents[0]), (shown[1], documents[1])


@pytest.fixture
def pair(changing: Pair, archive: Any) -> Pair:
    changing.same("load", "-i", archive("plain:latest", content="plain"))
    return changing


def test_the_same_is_refused_in_the_same_words(pair: Pair) -> None:
    differences = []
    for line in REFUSED.strip().splitlines():
        docker, lamina = created(pair, line)
        if docker[0].code == 0 or docker != lamina:
            differences.append(f"{line}\ndocker: {docker}\nlamina: {lamina}")
    assert not differences, "\n".join(differences)


def test_the_same_settings_are_recorded_with_the_same_warnings(pair: Pair) -> None:
    differences = []
    for line in TAKEN.strip().splitlines():
        docker, lamina = created(pair, line)
        if docker[0].code != 0 or docker != lamina:
            differences.append(f"{line}\ndocker: {docker}\nlamina: {lamina}")
    assert not differences, "\n".join(differences)


def test_a_privileged_container_differs_only_in_what_the_host_lacks(pair: Pair) -> None:
    docker, lamina = created(pair, "--privileged")
    assert docker[1] == lamina[1]
    complete = "CAP_SYS_RESOURCE" in process.bounding_capabilities()
    assert lamina[0].err.startswith("" if complete else "WARNING: This host can not give the capabilities")


#: What is asked of a container that runs, one after the other.
UPDATES = """
--memory 64m
--memory 1m
--memory 64m --memory-swap 128m
--memory 32m
--memory 256m
--cpus 0.5
--cpu-period 20000
--cpu-shares 3 --pids-limit 10
--cpuset-cpus 900
--restart bad
--restart unless-stopped
--kernel-memory 10m
--blkio-weight 100
--memory-reservation 60m
"""


@pytest.mark.needs("crun")
def test_update_says_and_records_the_same(changing: Pair, busybox_archive: str) -> None:
    changing.daemon.docker("load", "-i", busybox_archive)
    changing.lamina("load", "-i", busybox_archive)
    run = ["run", "-d", "--name", "updated", "--network", "none", "busybox", "sleep", "600"]
    ids = changing.daemon.docker(*run).strip(), changing.lamina(*run).strip()
    try:
        differences = []
        for line in UPDATES.strip().splitlines():
            docker, lamina = changing.ask("update", *shlex.split(line), "updated")
            lamina = lamina._replace(err=lamina.err.replace(ids[1], ids[0]))
            if docker != lamina:
                differences.append(f"{line}\ndocker: {docker}\nlamina: {lamina}")
        assert not differences, "\n".join(differences)
        changing.same("update", "updated")
        changing.same("update", "--pids-limit", "3", "nosuch")
        changing.same("inspect", "--format", "{{json .HostConfig}}", "updated")
    finally:
        changing.ask("rm", "-f", "updated")
