"""What a killed process leaves at moments that chance seldom finds: made by hand, and gone after the next command."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from lamina.container.rundirectory import RunDirectory
from lamina.dataroot import DataRoot
from lamina.layer.journal import Journal
from lamina.layer.writable import CONTAINER_NOTE
from lamina.network.contract import Endpoint
from lamina.network.store import NetworkStore
from lamina.runtime import cgroup
from support import networks
from support.command import Lamina
from support.mounts import mounts_below
from support.processes import wait_until

pytestmark = [pytest.mark.root, pytest.mark.needs("crun")]


@pytest.fixture
def id(lamina: Lamina, busybox_archive: str) -> str:
    """A container that has not been started."""
    lamina("load", "-q", "-i", busybox_archive)
    return lamina("create", "--name", "box", "busybox", "sleep", "60").strip()


def run_directory(lamina: Lamina, id: str) -> RunDirectory:
    return RunDirectory(f"{lamina.root}/lamina/run/{id}")


def network_store(lamina: Lamina) -> NetworkStore:
    return NetworkStore(DataRoot.open(lamina.root), is_default=False)


@pytest.mark.parametrize("command", [("start", "box"), ("rm", "box"), ("rm", "-f", "box"), ("cp", "box:/etc", "-")])
def test_whoever_needs_the_container_waits_for_a_monitor_that_cleans_up(
    lamina: Lamina, id: str, command: tuple[str, ...]
) -> None:
    run = run_directory(lamina, id)
    lock = run.claim()
    before = sorted(os.listdir(lamina.root + "/overlay2"))
    try:
        process = lamina.start(*command)
        with pytest.raises(subprocess.TimeoutExpired):
            process.communicate(timeout=0.7)
        assert os.listdir(run.path) == ["monitor"]
        assert sorted(os.listdir(lamina.root + "/overlay2")) == before
        assert mounts_below(lamina.root) == []
    finally:
        run.remove()
        os.close(lock)
    errors = process.communicate(timeout=60)[1]
    assert (process.returncode, errors) == (0, b"")


def test_a_killed_monitor_leaves_nothing_however_far_it_had_come(lamina: Lamina, id: str) -> None:
    lamina("run", "--rm", "busybox", "true")  # so that there is the bridge
    os.close(run_directory(lamina, id).claim())
    store = network_store(lamina)
    bridge = store.find("bridge")
    assert store.lease(bridge, "172.31.255.9", id)  # taken, and not yet written down as the container's
    groups = [f"/sys/fs/cgroup/{name}/lamina/{id}" for name in ("pids", "memory")]
    for group in groups:
        os.makedirs(group)
    with subprocess.Popen(["sleep", "60"]) as process:  # of a runtime that was killed
        Path(groups[0], "cgroup.procs").write_text(str(process.pid))
        assert cgroup.processes(f"/lamina/{id}") == [process.pid]
        lamina("ps")
        assert process.wait(10) == -9
    assert [group for group in groups if os.path.exists(group)] == []
    assert store.taken(bridge.id) == set()
    assert os.listdir(f"{lamina.root}/lamina/run") == []


def test_a_monitor_that_is_killed_while_it_removes_its_container_leaves_nothing(lamina: Lamina, id: str) -> None:
    root = DataRoot.open(lamina.root)
    os.close(run_directory(lamina, id).claim())
    entry = Journal(root).begin()
    entry.note(CONTAINER_NOTE, id)
    os.unlink(f"{lamina.root}/containers/{id}/config.v2.json")
    entry.abandon()
    lamina("ps", "-a")
    for place in ("containers", "lamina/run", "lamina/journal", "image/overlay2/layerdb/mounts"):
        assert os.listdir(f"{lamina.root}/{place}") == [], place


def test_connecting_again_takes_away_what_a_killed_connect_has_made(lamina: Lamina, id: str) -> None:
    lamina("start", "box")
    lamina("network", "create", "other")
    store = network_store(lamina)
    other, holding = store.find("other"), store.holding(id)
    lamina("network", "connect", "other", "box")
    made = next(one for one in store.holding(id).endpoints if one.network == other.id)
    intended = Endpoint(other.id, other.name, made.id, id, "box")
    record = Path(lamina.root, "containers", id, "config.v2.json")
    lamina("network", "disconnect", "other", "box")
    unconnected = record.read_bytes()
    lamina("network", "connect", "other", "box")
    made = next(one for one in store.holding(id).endpoints if one.network == other.id)
    # As it is between the interface's making and the record's writing.
    store.hold(id, holding._replace(endpoints=(*holding.endpoints, intended._replace(id=made.id))))
    record.write_bytes(unconnected)
    assert made.host_interface in networks.interfaces()

    lamina("network", "connect", "other", "box")
    what = "the end of the interface"  # the kernel needs a moment
    wait_until(lambda: made.host_interface not in networks.interfaces(), seconds=10, what=what)
    assert len(store.taken(other.id)) == 1
    lamina("rm", "-f", "box")
    assert store.taken(other.id) == set()
    lamina("network", "rm", "other")


def test_what_a_killed_connect_has_taken_is_given_back_with_the_container(lamina: Lamina, id: str) -> None:
    lamina("start", "box")
    lamina("network", "create", "other")
    store = network_store(lamina)
    other, holding = store.find("other"), store.holding(id)
    store.hold(id, holding._replace(endpoints=(*holding.endpoints, Endpoint.intended(other, (id, "box")))))
    assert store.lease(other, "10.1.2.3", id)
    lamina("stop", "-t", "0", "box")
    assert store.taken(other.id) == set()
    lamina("network", "rm", "other")
