"""HTTP: what servers may send, and in which words it is said that they send something else."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest

from lamina.registry.certificates import tls_context
from lamina.registry.exchange import Exchange, Response
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


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    made = Exchange(None, connect_timeout=5, read_timeout=5)
    yield made
    made.close()


def read_all(reply: Response, size: int = 1000) -> bytes:
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
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"\r\nbody", b"body"),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\n", b""),
    ],
    ids=["length", "said twice", "chunks", "chunks and a length", "until the end", "bare lines", "interim", "no body"],
)
def test_a_body_is_read_to_its_end(scripted, exchange: Exchange, answer: bytes, body: bytes) -> None:
    assert read_all(exchange.send("GET", scripted([answer]).url, {}, None)) == body


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "^EOF$"),
        (b"SSH-2.0-OpenSSH_9\r\n", "^net/http: HTTP/1.x transport connection broken: malformed HTTP response .SSH-2.0"),
        (b"HTTP/1.1 2000\r\n\r\n", "malformed HTTP response"),
        (b"HTTP/2 200\r\n\r\n", "transport connection broken"),
        (OK + b"x: y\r\n" * 1000 + b"\r\n", "more than 100 headers"),
        (OK + b"x: " + b"y" * (1 << 17) + b"\r\n\r\n", "more than 65536 bytes"),
        (OK + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nbody!", "Content-Length"),
        (OK + b"Content-Length: 5\r\n\r\nbody", "^unexpected EOF$"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n4\r\nbody", "^unexpected EOF$"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n4\r\nbody!\r\n0\r\n\r\n", "^unexpected EOF$"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n-4\r\nbody\r\n0\r\n\r\n", "^unexpected EOF$"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"4" * 40 + b"\r\nbody", "^unexpected EOF$"),
    ],
)
def test_what_is_no_answer_is_an_error(scripted, exchange: Exchange, answer: bytes, reason: str) -> None:
    url = scripted([answer]).url
    with pytest.raises(BrokenExchange, match=reason):
        read_all(exchange.send("GET", url, {}, None))


def test_a_connection_serves_again_when_its_answer_was_read(scripted, exchange: Exchange) -> None:
    answer = OK + b"Content-Length: 2\r\n\r\nok"
    server = scripted([answer, answer], [answer])
    assert read_all(exchange.send("GET", f"{server.url}/1", {}, None)) == b"ok"
    half_read = exchange.send("GET", f"{server.url}/2", {}, None)
    assert half_read.read(1) == b"o"
    half_read.close()
    assert read_all(exchange.send("GET", f"{server.url}/3", {}, None)) == b"ok"
    assert [heard.count(b"GET ") for heard in server.heard] == [2, 1]


@pytest.mark.parametrize("head", [b"Connection: close\r\n", b""], ids=["announced", "unannounced"])
def test_a_connection_that_the_server_closed_is_not_used_again(scripted, exchange: Exchange, head: bytes) -> None:
    answer = OK + head + b"Content-Length: 2\r\n\r\nok"
    server = scripted([answer], [answer])
    for _ in range(2):
        assert read_all(exchange.send("GET", server.url, {}, None)) == b"ok"
        time.sleep(0.05)
    assert len(server.heard) == 2


def test_the_answer_to_head_has_no_body_whatever_its_length(scripted, exchange: Exchange) -> None:
    answer = OK + b"Content-Length: 12345\r\n\r\n"
    server = scripted([answer, answer])
    for _ in range(2):
        reply = exchange.send("HEAD", server.url, {}, None)
        assert reply.read(10) == b""
        assert reply.header("content-LENGTH") == "12345"
    assert len(server.heard) == 1


def test_headers_may_come_several_times_and_go_on(scripted, exchange: Exchange) -> None:
    answer = OK + b"A: 1\r\nb:  two \r\n  three\r\na: 4\r\nContent-Length: 0\r\n\r\n"
    reply = exchange.send("GET", scripted([answer]).url, {}, None)
    reply.close()
    assert reply.headers("A") == ["1", "4"]
    assert reply.header("a") == "1, 4"
    assert reply.header("B") == "two three"
    assert reply.header("c") == ""


def test_an_address_is_sent_as_the_protocol_has_it(scripted, exchange: Exchange) -> None:
    server = scripted([OK + b"Content-Length: 0\r\n\r\n"])
    exchange.send("GET", f"{server.url}/a b/\u00fc?q=1 2#part", {"X": "y"}, None).close()
    lines = server.heard[0].split(b"\r\n")
    assert lines[0] == b"GET /a%20b/%C3%BC?q=1%202 HTTP/1.1"
    assert {f"Host: {server.url[7:]}".encode(), b"X: y"} <= set(lines)


@pytest.mark.parametrize(
    ("host", "sent"),
    [("b\u00fccher.example", "xn--bcher-kva.example"), ("[::1]", "[::1]"), ("h.example:81", "h.example:81")],
)
def test_a_host_is_named_as_the_network_knows_it(
    scripted, exchange: Exchange, monkeypatch: pytest.MonkeyPatch, host: str, sent: str
) -> None:
    server = scripted([OK + b"Connection: close\r\nContent-Length: 0\r\n\r\n"])
    place = ("127.0.0.1", int(server.url.rpartition(":")[2]))
    here = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", place)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *asked: here)
    exchange.send("GET", f"http://{host}/", {}, None).close()
    assert f"\r\nHost: {sent}\r\n".encode() in server.heard[0]


@pytest.mark.parametrize("break_", ["\r\n", "\n"])
def test_a_header_cannot_bring_another(exchange: Exchange, break_: str) -> None:
    with pytest.raises(NoConnection, match=r"^net/http: invalid header field value$"):
        exchange.send("GET", "http://127.0.0.1:1/", {"Authorization": f"Bearer x{break_}Evil: 1"}, None)


def test_bodies_of_known_length_and_in_pieces(scripted, exchange: Exchange) -> None:
    answer = OK + b"Content-Length: 0\r\n\r\n"
    server = scripted([answer], [answer], [answer], [answer])
    exchange.send("POST", server.url, {}, None).close()
    exchange.send("POST", server.url, {}, b"bytes").close()
    exchange.send("PUT", server.url, {"Content-Length": "5"}, iter([b"by", b"tes"])).close()
    exchange.send("PATCH", server.url, {}, iter([b"one", b"", b"two"])).close()
    server.close()
    assert b"Content-Length: 0\r\n" in server.heard[0]
    for heard in server.heard[1:3]:
        assert b"Content-Length: 5\r\n" in heard
        assert b"chunked" not in heard
    assert b"Transfer-Encoding: chunked\r\n" in server.heard[3]


def test_a_server_that_answers_early_is_heard(exchange: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()
    monkeypatch.setattr("urllib3.util.connection.create_connection", lambda *place, **options: _Deaf(ours))
    with theirs:
        theirs.sendall(b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig")
        reply = exchange.send("PATCH", "http://x/", {}, iter([b"piece"]))
        assert (reply.status, read_all(reply)) == (413, b"big")


class _Deaf:
    """One end of a pair of sockets, whose other side takes a request's head and no more."""

    def __init__(self, real: socket.socket) -> None:
        self.makefile, self.close, self.settimeout, self.shutdown = (
            real.makefile,
            real.close,
            real.settimeout,
            real.shutdown,
        )
        self._real = real

    def sendall(self, data: bytes) -> None:
        if b"HTTP/1.1" not in data:
            raise BrokenPipeError
        self._real.sendall(data)


def test_a_reader_that_waits_can_be_interrupted(exchange: Exchange) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        kept: list[socket.socket] = []

        def answer() -> None:
            kept.append(listener.accept()[0])
            kept[0].sendall(OK + b"Content-Length: 9\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with closing(exchange.send("GET", f"http://127.0.0.1:{listener.getsockname()[1]}", {}, None)) as reply:
            thread.join()
            threading.Timer(0.1, reply.interrupt).start()
            began = time.monotonic()
            with pytest.raises(BrokenExchange):
                reply.read(9)
            assert time.monotonic() - began < 3
        kept[0].close()


def test_a_silent_server_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        exchange = Exchange(None, connect_timeout=5, read_timeout=0.1)
        with pytest.raises(BrokenExchange, match="timeout awaiting"):
            exchange.send("GET", f"http://127.0.0.1:{listener.getsockname()[1]}", {}, None)


def test_why_no_connection_came_about(exchange: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NoConnection, match=r"dial tcp 127\.0\.0\.1:1: connect: connection refused"):
        exchange.send("GET", "http://127.0.0.1:1/", {}, None)

    def unknown(*place: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(NoConnection, match=r"dial tcp: lookup nowhere\.invalid: no such host"):
        exchange.send("GET", "http://nowhere.invalid/", {}, None)


@pytest.mark.parametrize(("answer", "reason"), [(b"HTTP/1.1 400 Bad Request\r\n\r\n", f"^{NOT_TLS}$"), (b"", "^EOF$")])
def test_why_no_tls_connection_came_about(answer: bytes, reason: str) -> None:
    context = tls_context("", "", verify=False)
    with (
        closing(Exchange(context, connect_timeout=5, read_timeout=5)) as exchange,
        socket.create_server(("127.0.0.1", 0)) as listener,
    ):

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(64 << 10)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(NoConnection, match=reason):
            exchange.send("GET", f"https://127.0.0.1:{listener.getsockname()[1]}/", {}, None)
        thread.join()
