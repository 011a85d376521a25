"""Calls over D-Bus, to a bus that a thread plays."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lamina.rootless import delegation
from lamina.rootless.bus import Body, Bus, BusFailed

Handler = Callable[[socket.socket], None]


def received(peer: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += peer.recv(size - len(data))
    return data


def call(peer: socket.socket) -> tuple[int, bytes, bytes]:
    """Serial, header fields and body of the next call."""
    head = received(peer, 16)
    assert head[:4] == b"l\x01\x00\x01"
    size, serial, length = struct.unpack("<III", head[4:])
    fields = received(peer, length + -length % 8)
    return serial, fields, received(peer, size)


def answer(serial: int, kind: int, body: bytes = b"", *, name: str = "", signature: str = "") -> bytes:
    fields = Body()
    fields.data.append(5)
    fields.signature("u").number(serial)
    for code, type_, text in ((4, "s", name), (7, "s", ":1.1")):
        if text:
            fields.align(8).data.append(code)
            fields.signature(type_).text(text)
    if signature:
        fields.align(8).data.append(8)
        fields.signature("g").signature(signature)
    head = Body()
    head.data += bytes([*b"l", kind, 0, 1])
    return bytes(head.number(len(body)).number(77).array(fields, 8).align(8).data) + body


def welcome(peer: socket.socket) -> None:
    """As a bus begins with a client, uid 1000."""
    greeting = b"\0AUTH EXTERNAL 31303030\r\n"
    assert received(peer, len(greeting)) == greeting
    peer.sendall(b"OK 0123\r\n")
    assert received(peer, 7) == b"BEGIN\r\n"
    serial, fields, body = call(peer)
    assert b"Hello\0" in fields
    assert body == b""
    peer.sendall(answer(serial, 2, bytes(Body().text(":1.5").data), signature="s"))


@contextmanager
def played(path: Path, handler: Handler) -> Iterator[str]:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def serve() -> None:
            peer, _ = server.accept()
            with peer:
                handler(peer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield str(path)
        thread.join(10)
        assert not thread.is_alive()


def test_a_call_is_answered_whatever_comes_between(tmp_path: Path) -> None:
    heard = []

    def handler(peer: socket.socket) -> None:
        welcome(peer)
        serial, fields, body = call(peer)
        heard.append((fields, body))
        peer.sendall(answer(serial + 9, 2) + answer(serial, 2, bytes(Body().text("/job/1").data), signature="o"))

    with played(tmp_path / "bus", handler) as path, Bus(path, 1000) as bus:
        bus.manager("AttachProcessesToUnit", "ssau", Body().text("a.scope").text("/b").numbers(5, 6))
    fields, body = heard[0]
    for word in (
        b"org.freedesktop.systemd1.Manager\0",
        b"AttachProcessesToUnit\0",
        b"/org/freedesktop/systemd1\0",
        b"ssau\0",
    ):
        assert word in fields
    assert body == b"\7\0\0\0a.scope\0\2\0\0\0/b\0\0\x08\0\0\0\5\0\0\0\6\0\0\0"


def test_a_refusal_is_told(tmp_path: Path) -> None:
    def handler(peer: socket.socket) -> None:
        welcome(peer)
        serial, _, _ = call(peer)
        text = bytes(Body().text("Unit a.scope not loaded.").data)
        peer.sendall(answer(serial, 3, text, name="org.freedesktop.systemd1.NoSuchUnit", signature="s"))

    with (
        played(tmp_path / "bus", handler) as path,
        Bus(path, 1000) as bus,
        pytest.raises(BusFailed, match=r"AttachProcessesToUnit: Unit a\.scope not loaded\."),
    ):
        bus.manager("AttachProcessesToUnit", "ssau", Body().text("a.scope").text("").numbers(5))


@pytest.mark.parametrize(
    "said", [b"", b"REJECTED EXTERNAL\r\n", b"OK 1\r\nB\x02\0\x01", b"OK 1\r\n" + b"l\x02\0\x01" + b"\xff" * 12]
)
def test_what_is_no_bus_is_an_error(said: bytes, tmp_path: Path) -> None:
    def handler(peer: socket.socket) -> None:
        peer.recv(100)
        peer.sendall(said)
        peer.shutdown(socket.SHUT_WR)
        while peer.recv(1000):
            pass

    with played(tmp_path / "bus", handler) as path, pytest.raises(BusFailed):
        Bus(path, 1000)
    with pytest.raises(BusFailed, match="No such file"):
        Bus(str(tmp_path / "missing"), 1000)


def test_a_scope_is_given_away_with_its_process() -> None:
    data = bytes(delegation.scope("a.scope", 300).data)
    assert data.startswith(b"\7\0\0\0a.scope\0\4\0\0\0fail\0")
    delegate = data.index(b"Delegate\0\1b\0")
    assert (delegate - 4) % 8 == 0, "a structure begins at a multiple of 8"
    assert data[delegate + 12 : delegate + 16] == b"\1\0\0\0"
    pids = data.index(b"PIDs\0\2au\0")
    assert (pids - 4) % 8 == 0
    at = pids + 9 + -(pids + 9) % 4
    assert struct.unpack_from("<II", data, at) == (4, 300)
    (size,) = struct.unpack_from("<I", data, 24)  # behind the texts, which end at 21
    assert 32 + size == at + 8
    assert data[at + 8 :] == bytes(-(at + 8) % 4 + 4 + -(at + 8 + 4) % 8), "and no further units"
