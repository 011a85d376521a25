"""What answers at ``127.0.0.11`` inside a container, where Docker's users expect it: a relay to whoever knows.

Names without a dot are asked of each of the container's networks in turn, by their ``aardvark-dns``; others of the
servers that were given with ``--dns`` first. The next one is asked when one knows no such name. All sockets are in the
container's namespace: the servers see who asks, and answer for that one's networks.
"""

from __future__ import annotations

import select
import struct
import time
from _socket import AF_INET, AF_INET6, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK, SOCK_STREAM
from _socket import socket as Socket  # noqa: N812 - the class; the module `socket` would cost three milliseconds
from collections.abc import Callable, Sequence

from lamina.linux import netns
from lamina.typing import Any, NamedTuple, Protocol

ADDRESS = "127.0.0.11"
_PORT = 53
_LARGEST = 1 << 16
#: How long a server has for its answer before the next is asked.
_SECONDS = 2.0
_LIMIT = 512
_NAME_ERROR, _SERVER_FAILURE, _REFUSED = 3, 2, 5


class Watch(Protocol):
    """The loop that calls back."""

    def watch(self, descriptor: int, events: int, handler: Callable[[int], None]) -> None: ...

    def forget(self, descriptor: int) -> None: ...


class Listening(NamedTuple):
    """The relay's sockets.

    :ivar namespace: descriptor of the container's namespace. :ivar given: addresses from ``--dns``.
    :ivar servers: addresses of the networks' servers now. :ivar port: where these listen now.
    """

    namespace: int
    datagrams: Socket
    streams: Socket
    given: tuple[str, ...]
    servers: Callable[[], Sequence[str]]
    port: Callable[[], int]

    @property
    def address(self) -> str:
        return ADDRESS

    def close(self) -> None:
        """The namespace stays open."""
        self.datagrams.close()
        self.streams.close()


def listen(
    namespace: int, given: Sequence[str], servers: Callable[[], Sequence[str]], port: Callable[[], int]
) -> Listening:
    """Raises :class:`OSError`."""
    datagrams = open_socket(namespace, SOCK_DGRAM)
    streams = open_socket(namespace, SOCK_STREAM)
    for socket in (datagrams, streams):
        socket.bind((ADDRESS, _PORT))
    streams.listen(64)
    return Listening(namespace, datagrams, streams, tuple(given), servers, port)


def open_socket(namespace: int, kind: int, address: str = ADDRESS) -> Socket:
    """A socket that belongs to a namespace, for talking to ``address``."""
    with netns.entered(namespace):
        return Socket(AF_INET6 if ":" in address else AF_INET, kind | SOCK_CLOEXEC | SOCK_NONBLOCK)


class Relay:
    """Questions that wait for an answer."""

    def __init__(self, loop: Watch, listening: Listening) -> None:
        self._loop = loop
        self._listening = listening
        self._questions: dict[int, _Question] = {}
        loop.watch(listening.datagrams.fileno(), select.POLLIN, self._receive)

    @property
    def busy(self) -> bool:
        return bool(self._questions)

    def expire(self) -> None:
        """Ask the next server where one does not answer."""
        now = time.monotonic()
        for key in [key for key, question in self._questions.items() if question.deadline < now]:
            question = self._questions[key]
            self._drop(key)
            self._ask(question)

    def first_server(self) -> tuple[str, int]:
        """Whom a whole conversation goes to: an address and a port; ``""`` for nobody."""
        return next(iter(self._servers(b"")), ("", _PORT))

    def _receive(self, events: int) -> None:
        try:
            data, peer = self._listening.datagrams.recvfrom(_LARGEST)
        except OSError:
            return
        if len(data) >= 12 and len(self._questions) < _LIMIT:
            self._ask(_Question(data, peer, self._servers(data)))

    def _servers(self, question: bytes) -> list[tuple[str, int]]:
        port = self._listening.port()
        own = [(address, port) for address in self._listening.servers()]
        given = [(address, _PORT) for address in self._listening.given]
        return [*own, *given] if not given or _has_one_label(question) else [*given, *own]

    def _ask(self, question: _Question) -> None:
        """Send it to the next server that can be reached; what the last one said is the answer when none is left."""
        while question.servers:
            server = question.servers.pop(0)
            socket = open_socket(self._listening.namespace, SOCK_DGRAM, server[0])
            try:
                socket.connect(server)
                socket.send(question.data)
            except OSError:
                socket.close()
                continue
            self._wait(question, socket)
            return
        self._reply(question, question.last or _failure(question.data))

    def _wait(self, question: _Question, socket: Socket) -> None:
        key = socket.fileno()
        question.socket = socket
        question.deadline = time.monotonic() + _SECONDS
        self._questions[key] = question
        self._loop.watch(key, select.POLLIN, lambda _: self._answer(key))

    def _answer(self, key: int) -> None:
        question = self._questions[key]
        assert question.socket is not None
        try:
            data = question.socket.recv(_LARGEST)
        except BlockingIOError:
            return
        except OSError:  # nobody listens there
            data = b""
        if data[:2] != question.data[:2] and data:
            return
        self._drop(key)
        if len(data) < 12 or data[3] & 0xF in (_NAME_ERROR, _SERVER_FAILURE, _REFUSED):
            question.last = data if len(data) >= 12 else question.last
            self._ask(question)
            return
        self._reply(question, data)

    def _reply(self, question: _Question, data: bytes) -> None:
        try:
            self._listening.datagrams.sendto(data, question.peer)
        except OSError:
            return

    def _drop(self, key: int) -> None:
        question = self._questions.pop(key)
        self._loop.forget(key)
        if question.socket is not None:
            question.socket.close()
            question.socket = None


class _Question:
    """One datagram of a container's, and who is still to be asked."""

    def __init__(self, data: bytes, peer: Any, servers: list[tuple[str, int]]) -> None:
        self.data = data
        self.peer = peer
        self.servers = servers
        self.socket: Socket | None = None
        self.deadline = 0.0
        self.last = b""


def _has_one_label(question: bytes) -> bool:
    """Whether the name that is asked for has no dot (RFC 1035, 4.1.2)."""
    length = question[12] if len(question) > 12 else 0
    return len(question) <= 13 + length or question[13 + length] == 0


def _failure(question: bytes) -> bytes:
    """An answer to ``question``: the server failed."""
    flags = struct.unpack_from(">H", question, 2)[0]
    return question[:2] + struct.pack(">H", flags | 0x8080 | _SERVER_FAILURE) + question[4:]
