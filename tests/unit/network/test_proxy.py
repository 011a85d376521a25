"""What the process that holds published ports passes on."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from lamina.network import ports, proxy


def listener() -> socket.socket:
    """A server that takes little at a time."""
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    server.bind(("127.0.0.1", 0))
    server.listen()
    server.settimeout(30)
    return server


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with listener() as made:
        yield made


@pytest.fixture
def published(server: socket.socket) -> Iterator[tuple[str, int]]:
    """Where a proxy passes calls on to the server."""
    target = server.getsockname()[1]
    (bound,) = ports.bind([ports.PortRequest("tcp", target, "127.0.0.1")], "test", lambda _: False)
    pid = proxy.start([bound], "127.0.0.1", None)
    bound.close()
    yield "127.0.0.1", bound.publication.host_port
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_a_server_that_says_nothing_gets_everything(published: tuple[str, int], server: socket.socket) -> None:
    sent = os.urandom(12 << 20)

    def call() -> None:
        with socket.create_connection(published) as caller:
            caller.sendall(sent)

    calling = threading.Thread(target=call)
    calling.start()
    connection = server.accept()[0]
    with connection:
        connection.settimeout(30)
        connection.shutdown(socket.SHUT_WR)  # as "nc -l </dev/null" does
        got = bytearray()
        while data := connection.recv(1 << 16):
            got += data
            time.sleep(0.001)  # slower than the caller, who has gone by the end
    calling.join()
    assert bytes(got) == sent


def test_messages_stay_apart_however_slow_their_reader() -> None:
    caller, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)  # as SCTP, which few kernels have
    theirs, callee = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (ours, theirs):
        end.setblocking(False)
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    messages = [b"%d," % number * 100 for number in range(60)]
    loop = proxy.Proxy([], "", None)
    proxy._Connection(loop, ours, theirs)

    def call() -> None:
        with caller:
            for message in messages:
                caller.send(message)

    calling = threading.Thread(target=call)
    calling.start()
    got: list[bytes] = []
    with ours, theirs, callee:
        callee.setblocking(False)
        while not got or got[-1]:
            while ready := loop._poll.poll(1):  # until nothing more fits
                for descriptor, events in ready:
                    loop._handlers[descriptor](events)
            with suppress(BlockingIOError):
                got.append(callee.recv(1 << 16))
    calling.join()
    assert got == [*messages, b""]
