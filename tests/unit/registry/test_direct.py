"""HTTP without a library: what servers may send, and what they must not get away with."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest

from lamina.registry.direct import Connections, Reply
from lamina.registry.http import NOT_TLS, BrokenExchange, NoConnection


class Scripted:
    """A server that says what it is told to, whatever it is asked; one list of answers for each connection.

    :ivar heard: what came on each connection.
    """

    def __init__(self, *connections: list[bytes]) -> None:
        self.heard: list[bytes] = []
        self._connections = connections
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        for number, answers in enumerate(self._connections):
            connection, _ = self._listener.accept()
            self.heard.append(b"")
            with connection:
                connection.settimeout(5)
                for answer in answers:
                    while b"\r\n\r\n" not in self.heard[number][-(64 << 10) :].rpartition(b"<")[2]:
                        self.heard[number] += connection.recv(64 << 10)
                    self.heard[number] += b"<"  # where the answer came
                    connection.sendall(answer)

    def close(self) -> None:
        self._thread.join(5)
        self._listener.close()


@pytest.fixture
def scripted() -> Iterator[Callable[..., Scripted]]:
    with ExitStack() as stack:

        def make(*connections: list[bytes]) -> Scripted:
            server = Scripted(*connections)
            stack.callback(server.close)
            return server

        yield make


def no_tls() -> object:
    raise AssertionError("nobody speaks TLS here")


@pytest.fixture
def connections() -> Iterator[Connections]:
    made = Connections(no_tls, connect_timeout=5, read_timeout=5)  # type: ignore[arg-type] # never asked for
    yield made
    made.close()


def read_all(reply: Reply, size: int = 1000) -> bytes:
    with closing(reply):
        return b"".join(iter(lambda: reply.read(size), b""))


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (OK + b"Content-Length: 4\r\n\r\nbody", b"body"),
        (OK + b"Content-Length: 4\r\nContent-Length: 4\r\n\r\nbody", b"body"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nbo\r\n2;x=y\r\ndy\r\n0\r\nTrailer: x\r\n\r\n", b"body"),
        (OK + b"Transfer-Encoding: Chunked\r\nContent-Length: 1\r\n\r\n4\r\nbody\r\n0\r\n\r\n", b"body"),
        (b"HTTP/1.0 200\r\n\r\nbody", b"body"),
        (b"HTTP/1.1 200 \n\nbody", b"body"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK + b"\r\nbody", b"body"),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\n", b""),
    ],
    ids=["length", "said twice", "chunks", "chunks and a length", "until the end", "bare lines", "interim", "no body"],
)
def test_a_body_is_read_to_its_end(scripted, connections: Connections, answer: bytes, body: bytes) -> None:
    assert read_all(connections.send("GET", scripted([answer]).url, {}, None)) == body


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "EOF"),
        (b"SSH-2.0-OpenSSH_9\r\n", "malformed HTTP response"),
        (b"HTTP/2 200\r\n\r\n", "malformed HTTP response"),
        (b"HTTP/1.1 2000\r\n\r\n", "malformed HTTP response"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 50, "too many 1xx"),
        (OK, "unexpected EOF"),
        (OK + b"no colon\r\n\r\n", "malformed MIME header"),
        (OK + b"Name : value\r\n\r\n", "malformed MIME header"),
        (OK + b"x: y\r\n" * 1000 + b"\r\n", "more than 200 headers"),
        (OK + b"x: " + b"y" * (1 << 17) + b"\r\n\r\n", "too long"),
        (OK + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nbody!", "bad Content-Length"),
        (OK + b"Content-Length: -4\r\n\r\nbody", "bad Content-Length"),
        (OK + b"Content-Length: " + b"9" * 99 + b"\r\n\r\nbody", "bad Content-Length"),
        (OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "unsupported transfer encoding"),
        (OK + b"Content-Length: 5\r\n\r\nbody", "unexpected EOF"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n4\r\nbody", "unexpected EOF"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n4\r\nbody!\r\n0\r\n\r\n", "malformed chunked encoding"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n-4\r\nbody\r\n0\r\n\r\n", "malformed chunked encoding"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"4" * 40 + b"\r\nbody", "malformed chunked encoding"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"x: y\r\n" * 1000, "trailers"),
    ],
)
def test_what_is_no_answer_is_an_error(scripted, connections: Connections, answer: bytes, reason: str) -> None:
    url = scripted([answer]).url
    with pytest.raises(BrokenExchange, match=reason):
        read_all(connections.send("GET", url, {}, None))


def test_a_connection_serves_again_when_its_answer_was_read(scripted, connections: Connections) -> None:
    answer = OK + b"Content-Length: 2\r\n\r\nok"
    server = scripted([answer, answer], [answer])
    assert read_all(connections.send("GET", f"{server.url}/1", {}, None)) == b"ok"
    half_read = connections.send("GET", f"{server.url}/2", {}, None)
    assert half_read.read(1) == b"o"
    half_read.close()
    assert read_all(connections.send("GET", f"{server.url}/3", {}, None)) == b"ok"
    assert [heard.count(b"GET ") for heard in server.heard] == [2, 1]


@pytest.mark.parametrize("head", [b"Connection: close\r\n", b""], ids=["announced", "unannounced"])
def test_a_connection_that_the_server_closed_is_not_used_again(scripted, connections: Connections, head: bytes) -> None:
    answer = OK + head + b"Content-Length: 2\r\n\r\nok"
    server = scripted([answer], [answer])
    for _ in range(2):
        assert read_all(connections.send("GET", server.url, {}, None)) == b"ok"
        time.sleep(0.05)
    assert len(server.heard) == 2


def test_the_answer_to_head_has_no_body_whatever_its_length(scripted, connections: Connections) -> None:
    answer = OK + b"Content-Length: 12345\r\n\r\n"
    server = scripted([answer, answer])
    for _ in range(2):
        reply = connections.send("HEAD", server.url, {}, None)
        assert reply.read(10) == b""
        assert reply.header("content-LENGTH") == "12345"
    assert len(server.heard) == 1


def test_headers_may_come_several_times_and_go_on(scripted, connections: Connections) -> None:
    answer = OK + b"A: 1\r\nb:  two \r\n  three\r\na: 4\r\nContent-Length: 0\r\n\r\n"
    reply = connections.send("GET", scripted([answer]).url, {}, None)
    reply.close()
    assert reply.headers("A") == ["1", "4"]
    assert reply.header("a") == "1, 4"
    assert reply.header("B") == "two three"
    assert reply.header("c") == ""


def test_an_address_is_sent_as_the_protocol_has_it(scripted, connections: Connections) -> None:
    server = scripted([OK + b"Content-Length: 0\r\n\r\n"])
    connections.send("GET", f"{server.url}/a b/\u00fc?q=1 2#part", {"X": "y"}, None).close()
    lines = server.heard[0].split(b"\r\n")
    assert lines[:3] == [b"GET /a%20b/%C3%BC?q=1%202 HTTP/1.1", f"Host: {server.url[7:]}".encode(), b"X: y"]


@pytest.mark.parametrize(
    ("host", "sent"),
    [("b\u00fccher.example", "xn--bcher-kva.example"), ("[::1]:80", "[::1]"), ("h.example:81", "h.example:81")],
)
def test_a_host_is_named_as_the_network_knows_it(
    connections: Connections, monkeypatch: pytest.MonkeyPatch, host: str, sent: str
) -> None:
    ours, theirs = socket.socketpair()
    monkeypatch.setattr(socket, "create_connection", lambda *place: _Tcp(ours))
    with theirs:
        theirs.sendall(OK + b"Connection: close\r\nContent-Length: 0\r\n\r\n")
        connections.send("GET", f"http://{host}/", {}, None).close()
        assert f"\r\nHost: {sent}\r\n".encode() in theirs.recv(1000)


class _Tcp:
    """One end of a pair of sockets, which takes TCP's options."""

    def __init__(self, real: socket.socket) -> None:
        self.makefile, self.close, self.settimeout = real.makefile, real.close, real.settimeout
        self.sendall = real.sendall

    def setsockopt(self, *option: int) -> None:
        pass


@pytest.mark.parametrize("break_", ["\r\n", "\n", "\0"])
def test_a_header_cannot_bring_another(connections: Connections, break_: str) -> None:
    with pytest.raises(NoConnection, match="invalid header"):
        connections.send("GET", "http://127.0.0.1:1/", {"Authorization": f"Bearer x{break_}Evil: 1"}, None)


def test_bodies_of_known_length_and_in_pieces(scripted, connections: Connections) -> None:
    answer = OK + b"Content-Length: 0\r\n\r\n"
    server = scripted([answer, answer], [answer])
    connections.send("POST", server.url, {}, None).close()
    connections.send("POST", server.url, {}, b"bytes").close()
    connections.close()
    connections.send("PATCH", server.url, {}, iter([b"one", b"", b"two"])).close()
    assert b"Content-Length: 0\r\n\r\n<" in server.heard[0]
    assert server.heard[0].endswith(b"Content-Length: 5\r\n\r\nbytes<")
    assert (
        server.heard[1]
        .replace(b"<", b"")
        .endswith(b"Transfer-Encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
        or b"Transfer-Encoding: chunked" in server.heard[1]
    )


def test_a_server_that_answers_early_is_heard(connections: Connections, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()
    monkeypatch.setattr(socket, "create_connection", lambda *place: _Deaf(ours))
    with theirs:
        theirs.sendall(b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig")
        reply = connections.send("PATCH", "http://x/", {}, iter([b"piece"]))
        assert (reply.status, read_all(reply)) == (413, b"big")


class _Deaf(_Tcp):
    """The other side takes a request's head and no more."""

    def __init__(self, real: socket.socket) -> None:
        super().__init__(real)
        self.sendall = self._sendall

    def _sendall(self, data: bytes) -> None:
        if b"HTTP/1.1" not in data:
            raise BrokenPipeError


def test_a_reader_that_waits_can_be_interrupted(connections: Connections) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        kept: list[socket.socket] = []

        def answer() -> None:
            kept.append(listener.accept()[0])
            kept[0].sendall(OK + b"Content-Length: 9\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with closing(connections.send("GET", f"http://127.0.0.1:{listener.getsockname()[1]}", {}, None)) as reply:
            thread.join()
            threading.Timer(0.1, reply.interrupt).start()
            began = time.monotonic()
            with pytest.raises(BrokenExchange):
                reply.read(9)
            assert time.monotonic() - began < 3
        kept[0].close()


def test_a_silent_server_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connections = Connections(no_tls, connect_timeout=5, read_timeout=0.1)  # type: ignore[arg-type] # as above
        with pytest.raises(BrokenExchange, match="timeout awaiting"):
            connections.send("GET", f"http://127.0.0.1:{listener.getsockname()[1]}", {}, None)


def test_why_no_connection_came_about(connections: Connections, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NoConnection, match=r"dial tcp 127\.0\.0\.1:1: connect: connection refused"):
        connections.send("GET", "http://127.0.0.1:1/", {}, None)

    def unknown(*place: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(NoConnection, match=r"dial tcp: lookup nowhere\.invalid: no such host"):
        connections.send("GET", "http://nowhere.invalid/", {}, None)


def test_a_server_on_this_machine_that_speaks_no_tls_is_found_out_without_openssl(
    scripted, connections: Connections
) -> None:
    server = scripted([b"HTTP/1.1 400 Bad Request\r\n\r\n"])
    with pytest.raises(NoConnection, match=NOT_TLS):
        connections.send("GET", server.url.replace("http:", "https:"), {}, None)
