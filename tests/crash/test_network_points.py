"""A ``network connect`` or ``disconnect`` that dies before any of its changes: later commands find all or nothing."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lamina.container import connecting
from lamina.engine import Engine
from lamina.linux import netns
from lamina.linux.netlink import Rtnetlink
from support import programs
from support.hosts import Host, LaminaOn
from support.storage import KILLED, Fault, in_child

pytestmark = [pytest.mark.crash, pytest.mark.root, pytest.mark.needs("crun", "ip", "nft", "nsenter")]

#: What changes networks, beside files.
_REQUESTS = ((Rtnetlink, "request"), (Rtnetlink, "add_veth"))
NETWORKS = {
    "bridge": (),
    "macvlan": ("-d", "macvlan", "-o", "parent=wire0"),
    "ipvlan": ("-d", "ipvlan", "-o", "parent=wire0"),
}


@pytest.fixture
def box(tmp_path: Path, busybox_archive: str) -> Iterator[LaminaOn]:
    """A host with a container ``one`` on the default network."""
    programs.need_root()
    host = Host()
    command = LaminaOn(host, str(tmp_path / "root"), str(tmp_path / "docker-config"))
    try:
        command("load", "-q", "-i", busybox_archive)
        command("run", "-d", "--name", "one", "busybox", "sleep", "1000")
        yield command
    finally:
        command.remove_containers()
        host.close()


def _facts(box: LaminaOn) -> tuple[list[str], set[str], int, int]:
    """What the container's record says that it is on, what it has, the host's ends, and the addresses that it has."""
    with box.host.inside(), Engine(box.root) as engine:
        record = engine.containers.get("one").record
        networks = record.document["NetworkSettings"]["Networks"]
        assert all(entry["IPAddress"] for entry in networks.values())
        with netns.entered(netns.open_of(record.pid)), Rtnetlink() as links:
            inside = {link.name for link in links.links()} - {"lo"}
        with Rtnetlink() as links:
            ends = sum(link.name.startswith("lv") for link in links.links())
        store = engine.networks.store
        leases = sum(len(store.taken(network.id)) for network in store.all())
    return sorted(networks), inside, ends, leases


@pytest.mark.parametrize("verb", [connecting.connect, connecting.disconnect])
@pytest.mark.parametrize("driver", NETWORKS)
def test_a_change_of_networks_is_done_or_undone(box: LaminaOn, driver: str, verb: Callable[..., None]) -> None:
    box("network", "create", "--subnet", "10.213.9.0/24", *NETWORKS[driver], "mine")
    connected = box.run("network", "connect", "mine", "one")
    if f"the kernel has no {driver}" in connected.stderr:
        pytest.skip(f"needs a kernel with {driver}")
    on = _facts(box)
    assert on == (["bridge", "mine"], {"eth0", "eth1"}, 2 if driver == "bridge" else 1, 2)
    box("network", "disconnect", "mine", "one")
    off = _facts(box)
    assert off == (["bridge"], {"eth0"}, 1, 1)
    before = off if verb is connecting.connect else on

    def change(work: Callable[..., None]) -> None:
        with box.host.inside(), Engine(box.root) as engine:
            service = engine.container_service
            work(service.parts, service.id_of("one"), "mine", *(({},) if work is connecting.connect else ()))

    if before == on:
        change(connecting.connect)
    for number in itertools.count(1):
        status = in_child(lambda: change(verb), Fault(number, others=_REQUESTS))
        found = _facts(box)
        assert found in (on, off), f"after death at change {number}"
        if status != KILLED:
            assert status == 0
            assert number > 10
            break
        if found != before:
            change(connecting.disconnect if verb is connecting.connect else connecting.connect)


def test_a_network_can_be_removed_though_a_connect_died(box: LaminaOn) -> None:
    box("network", "create", "mine")
    with box.host.inside(), Engine(box.root) as engine:
        service = engine.container_service
        parts, one = service.parts, service.id_of("one")
        for number in itertools.count(1):
            done = in_child(lambda: connecting.connect(parts, one, "mine", {}), Fault(number, others=_REQUESTS))
            assert done == KILLED
            holding = engine.networks.store.holding(one)
            if any(
                not endpoint.made and engine.networks.store.taken(endpoint.network) for endpoint in holding.endpoints
            ):
                break
    box("network", "rm", "mine")
    assert _facts(box) == (["bridge"], {"eth0"}, 1, 1)
    assert not os.path.exists(f"{box.root}/lamina/run/{one}/connecting")
