"""Addresses and ranges next to the standard library's."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.errors import InvalidArgument
from lamina.network import ranges
from lamina.network.addresses import InvalidAddress, InvalidSubnet, Subnet, mac_bytes, mac_of, number, text_of, version
from lamina.network.contract import NoPoolLeft, Pool, PoolOverlaps
from lamina.network.sandbox import Settings

networks = st.one_of(
    st.tuples(st.ip_addresses(v=4), st.integers(0, 32)), st.tuples(st.ip_addresses(v=6), st.integers(0, 128))
)


@given(networks)
def test_a_range_is_what_the_standard_library_says(pair: tuple[ipaddress.IPv4Address, int]) -> None:
    text = f"{pair[0]}/{pair[1]}"
    expected = ipaddress.ip_network(text, strict=False)
    found = Subnet.parse(text)
    assert ipaddress.ip_network(str(found)) == expected
    assert (found.size, found.version) == (expected.num_addresses, expected.version)
    assert found.last == int(expected.broadcast_address)
    assert ipaddress.ip_address(text_of(number(str(pair[0])), version(str(pair[0])))) == pair[0]


@given(networks, networks)
def test_ranges_overlap_both_ways_or_not(
    one: tuple[ipaddress.IPv4Address, int], other: tuple[ipaddress.IPv4Address, int]
) -> None:
    first, second = (ipaddress.ip_network(f"{pair[0]}/{pair[1]}", strict=False) for pair in (one, other))
    expected = first.version == second.version and first.overlaps(second)  # type: ignore[arg-type]
    assert Subnet.parse(str(first)).overlaps(Subnet.parse(str(second))) == expected


@pytest.mark.parametrize(
    "text", ["", "10.0.0.0", "10.0.0/8", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/٣", "x/8", "::/129"]
)
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(InvalidSubnet):
        Subnet.parse(text)


@pytest.mark.parametrize("text", ["", "1.2.3", "1.2.3.4.5", "::g", "1.2.3.4/8", "host", "1.2.3.4\0"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidAddress):
        number(text)


def test_hardware_addresses() -> None:
    assert mac_of("172.17.0.2") == "02:42:ac:11:00:02"
    assert mac_bytes("02-42-AC-11-00-02") == bytes.fromhex("0242ac110002")
    for text in ("", "02:42", "02:42:ac:11:00:0", "02:42:ac:11:00:zz", "02:42:ac:11:00:02:03"):
        with pytest.raises(InvalidArgument, match="invalid MAC address"):
            mac_bytes(text)


def test_dockers_ranges_are_taken_in_turn() -> None:
    taken: set[Subnet] = set()
    given_out = []
    for _ in range(31):
        pool = ranges.next_free(taken)
        given_out.append((pool.subnet, pool.gateway))
        taken.add(Subnet.parse(pool.subnet))
    assert given_out[0] == ("172.17.0.0/16", "172.17.0.1")
    assert given_out[14] == ("172.31.0.0/16", "172.31.0.1")
    assert given_out[15] == ("192.168.0.0/20", "192.168.0.1")
    with pytest.raises(NoPoolLeft):
        ranges.next_free(taken)


def test_networks_are_cut_from_chosen_ranges_in_turn() -> None:
    pools = (("10.200.0.0/23", 24), ("10.9.0.0/24", 25))
    taken = {Subnet.parse("10.200.0.0/25")}
    for expected in ("10.200.1.0/24", "10.9.0.0/25", "10.9.0.128/25"):
        assert ranges.next_free(taken, pools).subnet == expected
        taken.add(Subnet.parse(expected))
    with pytest.raises(NoPoolLeft):
        ranges.next_free(taken, pools)


def test_a_range_of_ones_own_is_checked_and_completed() -> None:
    assert ranges.complete(Pool("10.1.2.3/16"), ()) == Pool("10.1.0.0/16", "10.1.0.1", chosen=True)
    inside = ranges.complete(Pool("10.1.0.0/16", range="10.1.5.0/24", reserved={"a": "10.1.5.0"}), ())
    assert inside.gateway == "10.1.5.1"
    with pytest.raises(PoolOverlaps):
        ranges.complete(Pool("10.1.0.0/16"), {Subnet.parse("10.1.128.0/17")})
    for pool in (Pool("10.1.0.0/16", "10.2.0.1"), Pool("10.1.0.0/16", range="10.2.0.0/24"), Pool("nothing")):
        with pytest.raises(InvalidArgument):
            ranges.complete(pool, ())


def test_link_local_addresses_are_such() -> None:
    wanted = ("169.254.34.68", "fe80::77")
    assert Settings.of({"IPAMConfig": {"LinkLocalIPs": list(wanted)}}).link_local == wanted
    for texts, message in (
        (["bad", "169.254.1.1"], "Invalid link-local IP address: [bad 169.254.1.1]"),
        (["169.254.1.1", "169.255.0.1"], "invalid link local IP address: 169.255.0.1"),
        (["fec0::1"], "invalid link local IP address: fec0::1"),
    ):
        with pytest.raises(InvalidArgument) as error:
            Settings.of({"IPAMConfig": {"LinkLocalIPs": texts}})
        assert str(error.value) == message
