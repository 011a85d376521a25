"""``RUN --mount=type=ssh``: the user's SSH agent, for one command.

The command gets a socket of its own, and through it only what it needs to log in: it may list the keys and have things
signed. Adding keys, removing them and locking the agent are refused, whoever asks.

Protocol: draft-miller-ssh-agent: a message is four bytes of length and as many bytes, the first of which is its type.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Iterator

from lamina.contextlib import contextmanager, suppress

_LENGTH = struct.Struct(">I")
#: OpenSSH's own limit for a message.
_LIMIT = 256 << 10
_FAILURE = b"\x05"
#: SSH_AGENTC_REQUEST_IDENTITIES, SSH_AGENTC_SIGN_REQUEST, SSH_AGENTC_EXTENSION.
_ALLOWED = frozenset(b"\x0b\x0d\x1b")


class ForwardedAgent:
    """A socket that leads to an agent; close it when the command has ended.

    :param source: host path of the agent's socket.
    :param directory: gets the new socket.
    :ivar path: host path of the new socket.
    """

    def __init__(self, source: str, directory: str, *, mode: int, owner: tuple[int, int]) -> None:
        self._source = source
        self.path = f"{directory}/agent"
        self._listener = socket.socket(socket.AF_UNIX)
        with short_address(self.path) as address:
            self._listener.bind(address)
        os.chmod(self.path, mode)
        os.chown(self.path, *owner)
        self._listener.listen()
        threading.Thread(target=self._accept, name="lamina-agent", daemon=True).start()

    def close(self) -> None:
        """Take no more connections. Idempotent."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection = self._listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), name="lamina-agent", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, socket.socket(socket.AF_UNIX) as agent, suppress(OSError, _Broken):
            with short_address(self._source) as address:
                agent.connect(address)
            while True:
                request = _receive(connection)
                if request[0] in _ALLOWED:
                    _send(agent, request)
                    _send(connection, _receive(agent))
                else:
                    _send(connection, _FAILURE)


class _Broken(Exception):
    """The other side has gone, or does not speak the protocol."""


@contextmanager
def short_address(path: str) -> Iterator[str]:
    """The path of a socket in few letters: an address has 107 bytes at most."""
    directory, name = os.path.split(path)
    descriptor = os.open(directory or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{name}"
    finally:
        os.close(descriptor)


def _send(connection: socket.socket, message: bytes) -> None:
    connection.sendall(_LENGTH.pack(len(message)) + message)


def _receive(connection: socket.socket) -> bytes:
    length: int = _LENGTH.unpack(_exactly(connection, _LENGTH.size))[0]
    if not 0 < length <= _LIMIT:
        raise _Broken
    return _exactly(connection, length)


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = connection.recv(count - len(data))
        if not piece:
            raise _Broken
        data += piece
    return data
