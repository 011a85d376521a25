"""Messages and attributes as the kernel reads them."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from lamina.linux import netlink

attribute_lists = st.lists(st.tuples(st.integers(0, 0x3FFF), st.binary(max_size=40)), max_size=6)


@given(attribute_lists)
def test_attributes_come_back_as_they_were(pairs: list[tuple[int, bytes]]) -> None:
    data = b"".join(netlink.attribute(kind, payload) for kind, payload in pairs)
    assert len(data) % 4 == 0
    assert list(netlink.attributes(data)) == pairs
    assert list(netlink.attributes(netlink.nested(1, data))) == [(1, data)]


@given(st.binary(max_size=80))
def test_bytes_of_any_kind_end_the_list_and_nothing_else(data: bytes) -> None:
    for kind, payload in netlink.attributes(data):
        assert kind <= 0x3FFF
        assert len(payload) <= len(data)
    assert all(len(payload) <= len(data) for _, _, payload in netlink.messages(data))


def test_a_message_has_the_kernels_header() -> None:
    raw = netlink.message(16, 5, b"abcd", 7)
    assert raw == struct.pack("=IHHII", 20, 16, 5, 7, 0) + b"abcd"
    assert list(netlink.messages(raw + raw)) == [(16, 7, b"abcd")] * 2


def test_texts_and_numbers() -> None:
    assert netlink.text(3, "eth0") == struct.pack("=HH", 9, 3) + b"eth0\0\0\0\0"
    assert netlink.number(4, 1500) == struct.pack("=HHI", 8, 4, 1500)
