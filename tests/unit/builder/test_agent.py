"""What of an SSH agent a command gets."""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lamina.builder.agent import ForwardedAgent

_IDENTITIES, _SIGN, _REMOVE_ALL, _LOCK = 11, 13, 19, 22
_FAILURE = b"\x05"


class Agent:
    """Answers every message with its own bytes. :ivar asked: the messages that came."""

    def __init__(self, path: str) -> None:
        self.asked: list[bytes] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection = self._listener.accept()[0]
            except OSError:
                return
            with connection:
                while message := receive(connection):
                    self.asked.append(message)
                    send(connection, message)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def send(connection: socket.socket, message: bytes) -> None:
    connection.sendall(struct.pack(">I", len(message)) + message)


def receive(connection: socket.socket) -> bytes:
    header = connection.recv(4, socket.MSG_WAITALL)
    return connection.recv(struct.unpack(">I", header)[0], socket.MSG_WAITALL) if len(header) == 4 else b""


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Agent]:
    monkeypatch.chdir(tmp_path)  # a socket's address is short
    made = Agent("agent")
    yield made
    made.close()


@pytest.fixture
def connection(agent: Agent, tmp_path: Path) -> Iterator[socket.socket]:
    directory = tmp_path / ("long" * 30)
    directory.mkdir()
    forwarded = ForwardedAgent(str(tmp_path / "agent"), str(directory), mode=0o600, owner=(os.getuid(), os.getgid()))
    os.chdir(directory)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("agent")
        client.settimeout(30)
        os.chdir(tmp_path)
        yield client
    forwarded.close()
    forwarded.close()


def test_keys_may_be_listed_and_used(connection: socket.socket, agent: Agent) -> None:
    for message in (bytes([_IDENTITIES]), bytes([_SIGN]) + b"x" * 10_000):
        send(connection, message)
        assert receive(connection) == message
    assert len(agent.asked) == 2


@pytest.mark.parametrize("kind", [_REMOVE_ALL, _LOCK, 17, 0, 255])
def test_nothing_else_reaches_the_agent(connection: socket.socket, agent: Agent, kind: int) -> None:
    send(connection, bytes([kind]))
    assert receive(connection) == _FAILURE
    send(connection, bytes([_IDENTITIES]))
    assert receive(connection) == bytes([_IDENTITIES])
    assert agent.asked == [bytes([_IDENTITIES])]


@pytest.mark.parametrize("header", [b"\0\0\0\0", b"\xff\xff\xff\xff"])
def test_who_does_not_speak_the_protocol_is_cut_off(connection: socket.socket, agent: Agent, header: bytes) -> None:
    connection.sendall(header)
    assert connection.recv(1) == b""
    assert not agent.asked
