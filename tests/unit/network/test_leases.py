"""Who has which address: nobody shares one, whatever the order of taking and giving back."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lamina.dataroot import DataRoot
from lamina.errors import InvalidArgument
from lamina.network.contract import (
    AddressInUse,
    Endpoint,
    Holding,
    Network,
    NetworkInUse,
    NoAddressLeft,
    Pool,
    Publication,
)
from lamina.network.ipam import Addresses
from lamina.network.store import NetworkStore

POOL = Pool("10.9.0.0/28", "10.9.0.1", reserved={"printer": "10.9.0.4"})


def make(directory: str, dead: frozenset[str] = frozenset()) -> tuple[NetworkStore, Network, Addresses]:
    root = DataRoot.open(directory)
    root.prepare("vfs")
    store = NetworkStore(root, is_default=False)
    network = Network("a" * 64, "mine", "bridge", "2020-01-01T00:00:00Z", (POOL,))
    store.write(network)
    return store, network, Addresses(store, lambda container: container not in dead)


def test_the_lowest_free_address_is_given(tmp_path: Path) -> None:
    store, network, addresses = make(str(tmp_path))
    assert [addresses.take(network, POOL, f"c{number}") for number in range(3)] == ["10.9.0.2", "10.9.0.3", "10.9.0.5"]
    store.release(network.id, "10.9.0.3")
    assert addresses.take(network, POOL, "again") == "10.9.0.3"
    assert store.holder(network.id, "10.9.0.3") == "again"


def test_a_chosen_address_is_given_once(tmp_path: Path) -> None:
    _, network, addresses = make(str(tmp_path))
    assert addresses.take(network, POOL, "one", "10.9.0.9") == "10.9.0.9"
    for taken in ("10.9.0.9", "10.9.0.1", "10.9.0.4"):
        with pytest.raises(AddressInUse):
            addresses.take(network, POOL, "two", taken)
    with pytest.raises(InvalidArgument, match="It does not belong to any of this network's subnets"):
        addresses.take(network, POOL, "two", "10.10.0.9")


def test_what_the_dead_have_is_given_to_others_when_nothing_else_is_left(tmp_path: Path) -> None:
    _, network, addresses = make(str(tmp_path), frozenset(("dead",)))
    given_out = {addresses.take(network, POOL, "dead" if number == 3 else "alive") for number in range(12)}
    assert len(given_out) == 12
    assert addresses.take(network, POOL, "new") == "10.9.0.6"
    with pytest.raises(NoAddressLeft):
        addresses.take(network, POOL, "new")


def test_a_network_with_endpoints_can_not_be_removed(tmp_path: Path) -> None:
    store, network, addresses = make(str(tmp_path))
    address = addresses.take(network, POOL, "one")
    with pytest.raises(NetworkInUse):
        store.remove(network)
    assert store.find("mine") == network
    store.release(network.id, address)
    store.remove(network)
    assert "mine" not in [one.name for one in store.all()]


def test_threads_that_take_at_once_get_different_ones(tmp_path: Path) -> None:
    _, network, addresses = make(str(tmp_path))
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(addresses.take(network, POOL, "somebody"))) for _ in range(10)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 10


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 11), max_size=40))
def test_no_order_of_taking_and_giving_back_gives_one_twice(steps: list[int]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        store, network, addresses = make(directory)
        held: dict[int, str] = {}
        for step in steps:
            if step in held:
                store.release(network.id, held.pop(step))
            else:
                held[step] = addresses.take(network, POOL, f"c{step}")
            assert len(set(held.values())) == len(held)
            assert store.taken(network.id) == set(held.values())


def test_predefined_networks_keep_their_ids(tmp_path: Path) -> None:
    store, _, _ = make(str(tmp_path))
    first = {network.name: network.id for network in store.all() if network.predefined}
    assert set(first) == {"bridge", "host", "none"}
    again = NetworkStore(DataRoot.open(str(tmp_path)), is_default=False)
    assert {name: again.find(name).id for name in first} == first
    assert again.find(first["host"][:8]).name == "host"
    assert store.find("bridge").bridge == f"lm-{first['bridge'][:12]}"


def test_what_a_container_has_survives_writing(tmp_path: Path) -> None:
    store, network, _ = make(str(tmp_path))
    endpoint = Endpoint(network.id, "mine", "e" * 64, "c" * 64, "web", "10.9.0.2", 28, names=("web", "www"))
    holding = Holding((endpoint,), "10.9.0.2", (Publication("tcp", 80, "0.0.0.0", 8080),), "127.0.0.11")
    store.hold("c" * 64, holding)
    assert store.holding("c" * 64) == holding
    store.forget("c" * 64)
    store.forget("c" * 64)
    assert store.holding("c" * 64) == Holding()
