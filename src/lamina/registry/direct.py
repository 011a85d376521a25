"""HTTP/1.1 (RFC 9112) over connections that go straight to their host.

A command that asks a registry for a few documents lives shorter than a general client takes to load, so this one does
what registries need and no more: ``GET`` to ``DELETE``, bodies of known length or in chunks, connections kept for the
next request. Reasons are worded as Go's ``net/http`` words them, for those are what people look for.
"""

from __future__ import annotations

import re
import socket
from _thread import allocate_lock
from collections.abc import Callable, Iterable, Iterator, Mapping
from urllib.parse import quote, urlsplit

from lamina.registry.endpoint import Origin, is_loopback
from lamina.registry.http import NOT_TLS, Body, BrokenExchange, NoConnection
from lamina.typing import TYPE_CHECKING, Any, NamedTuple, cast

if TYPE_CHECKING:
    import ssl
    from io import BufferedReader

#: Bytes of one line, and lines, of an answer's head.
_LINE_LIMIT = 64 << 10
_HEADER_LIMIT = 200
#: Answers of the kind "more is to come" before the one that counts.
_INTERIM_LIMIT = 10
_IDLE_LIMIT = 16
_BUFFER = 64 << 10
_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?:[ \r\n]|\Z)")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r\n]*)?\r?\n\Z")
_UNSAFE_TARGET = re.compile(r"[^\x21-\x7e]")
#: What no line of a request may hold: it would be a line of somebody else's choice.
_LINE_BREAK = re.compile(r"[\r\n\0]")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_BODILESS = frozenset({204, 304})
#: A record that no TLS server takes for the beginning of a handshake, and no HTTP server for a request; and the first
#: bytes of a TLS server's answer: an alert or a handshake.
_PROBE = b"\x16\x03\x01\0\4\r\n\r\n"
_TLS_RECORDS = (b"\x15", b"\x16")
_PROBE_SECONDS = 1.0
#: Methods to which servers expect a length even when there is no body.
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


class Connections:
    """An :class:`~lamina.registry.http.Exchange` without a proxy.

    :param context: makes what hosts are spoken to with over TLS.
    :param connect_timeout: seconds to wait for a connection.
    :param read_timeout: seconds to wait for the next bytes.
    """

    def __init__(self, context: Callable[[], ssl.SSLContext], *, connect_timeout: float, read_timeout: float) -> None:
        self._make_context = context
        self._context: ssl.SSLContext | None = None
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout
        self._lock = allocate_lock()
        self._idle: dict[Origin, list[_Connection]] = {}

    def send(self, method: str, url: str, headers: Mapping[str, str], body: Body) -> Reply:
        """See :class:`~lamina.registry.http.Exchange`."""
        origin = Origin.of(url)
        head = _head(method, url, origin, headers, body)
        connection = self._kept(origin) or self._connect(origin)
        try:
            connection.send(head, body, chunked=not _has(headers, "content-length"))
            return connection.receive(method)
        except OSError as error:
            connection.close()
            if type(error).__module__ == "ssl":  # the handshake's end: a server refuses a certificate after it
                from lamina.registry.certificates import handshake_failure

                raise NoConnection(handshake_failure(error, origin.host)) from error
            raise BrokenExchange(_broken(error)) from error
        except BaseException:
            connection.close()
            raise

    def close(self) -> None:
        """See :class:`~lamina.registry.http.Exchange`."""
        with self._lock:
            kept, self._idle = self._idle, {}
        for connections in kept.values():
            for connection in connections:
                connection.close()

    def keep(self, connection: _Connection) -> None:
        """Take a connection back that can carry another request."""
        with self._lock:
            idle = self._idle.setdefault(connection.origin, [])
            if len(idle) < _IDLE_LIMIT:
                idle.append(connection)
                return
        connection.close()

    def _kept(self, origin: Origin) -> _Connection | None:
        """An idle connection that the server has not closed meanwhile."""
        while True:
            with self._lock:
                idle = self._idle.get(origin)
                connection = idle.pop() if idle else None
            if connection is None or connection.is_open():
                return connection
            connection.close()

    def _connect(self, origin: Origin) -> _Connection:
        if origin.scheme == "https" and self._context is None and is_loopback(origin.host):
            self._refuse_plain(origin)
        connected = self._dial(origin)
        try:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if origin.scheme == "https":
                connected = self._over_tls(connected, origin)
            connected.settimeout(self._read_timeout)
        except BaseException:
            connected.close()
            raise
        return _Connection(self, origin, connected)

    def _dial(self, origin: Origin) -> socket.socket:
        # As bytes, a plain name is not looked at by the codec for names in other scripts, which takes time to load.
        name: Any = origin.host.encode() if origin.host.isascii() else origin.host
        try:
            return socket.create_connection((name, origin.port), self._connect_timeout)
        except (OSError, UnicodeError) as error:
            raise NoConnection(not_connected(error, origin)) from error

    def _refuse_plain(self, origin: Origin) -> None:
        """Find out whether somebody on this machine speaks TLS at all before loading OpenSSL: few there do.

        Raises :class:`NoConnection` when not.
        """
        with self._dial(origin) as probe:
            probe.settimeout(_PROBE_SECONDS)
            try:
                probe.sendall(_PROBE)
                first = probe.recv(1)
            except OSError:
                return
        if first and first not in _TLS_RECORDS:
            raise NoConnection(NOT_TLS)

    def _over_tls(self, connected: socket.socket, origin: Origin) -> socket.socket:
        with self._lock:
            if self._context is None:
                self._context = self._make_context()
        try:
            return self._context.wrap_socket(connected, server_hostname=origin.host)
        except (OSError, ValueError) as error:
            from lamina.registry.certificates import handshake_failure

            raise NoConnection(handshake_failure(error, origin.host)) from error


class _Connection:
    """One connection, which carries one exchange at a time."""

    def __init__(self, owner: Connections, origin: Origin, plain: socket.socket) -> None:
        self.origin = origin
        self._owner = owner
        self._socket = plain
        self._file = cast("BufferedReader", plain.makefile("rb", _BUFFER))

    def is_open(self) -> bool:
        """Whether the other side is silent: what it says unasked is that it has closed the connection."""
        from select import POLLIN, poll

        waiter = poll()
        waiter.register(self._socket, POLLIN)
        return not waiter.poll(0)

    def send(self, head: bytes, body: Body, *, chunked: bool) -> None:
        """Send a request. A server that answers before it has read all may stop reading; its answer counts."""
        if isinstance(body, bytes):
            head, body = head + body, None
        self._socket.sendall(head)
        if body is None:
            return
        pieces = _in_chunks(body) if chunked else body
        for piece in pieces:
            try:
                self._socket.sendall(piece)
            except (BrokenPipeError, ConnectionResetError):
                return

    def receive(self, method: str) -> Reply:
        """The head of the answer; raises :class:`BrokenExchange`, ``OSError``."""
        for _ in range(_INTERIM_LIMIT):
            minor, status = self._status()
            fields = self._fields()
            if status >= 200 or status == 101:
                return Reply(self, status, fields, _framing(method, status, minor, fields))
        raise BrokenExchange("net/http: HTTP/1.x transport connection broken: too many 1xx informational responses")

    def _status(self) -> tuple[int, int]:
        line = self._file.readline(_LINE_LIMIT)
        if not line:
            raise BrokenExchange("EOF")
        match = _STATUS.match(line)
        if match is None:
            raise BrokenExchange(f"net/http: HTTP/1.x transport connection broken: malformed HTTP response {line!r}")
        return int(match[1]), int(match[2])

    def _fields(self) -> dict[str, list[str]]:
        """Headers by name in lower case."""
        fields: dict[str, list[str]] = {}
        last: list[str] = []
        for _ in range(_HEADER_LIMIT):
            line = self.line()
            if line in (b"\r\n", b"\n"):
                return fields
            text = line.decode("latin-1").rstrip("\r\n")
            name, colon, value = text.partition(":")
            if text[0] in " \t" and last:  # a line that goes on, as old servers send it
                last[-1] += " " + text.strip()
            elif not colon or not name or name != name.strip():
                raise BrokenExchange(f"net/http: HTTP/1.x transport connection broken: malformed MIME header {text!r}")
            else:
                last = fields.setdefault(name.lower(), [])
                last.append(value.strip(" \t"))
        raise BrokenExchange(f"net/http: the answer has more than {_HEADER_LIMIT} headers")

    def line(self) -> bytes:
        """One line of the head or of a chunk's."""
        line = self._file.readline(_LINE_LIMIT)
        if not line.endswith(b"\n"):
            raise BrokenExchange("unexpected EOF" if len(line) < _LINE_LIMIT else "net/http: a line is too long")
        return line

    def read(self, size: int) -> bytes:
        """What has come, up to ``size`` bytes; waits for the first of them, and is empty at the end of the stream."""
        return self._file.read1(size)

    def release(self) -> None:
        """The exchange is over and the connection can carry another one."""
        self._owner.keep(self)

    def interrupt(self) -> None:
        # A TLS socket's own method would forget its keys while the other thread reads.
        socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def close(self) -> None:
        self._file.close()
        self._socket.close()


class _Framing(NamedTuple):
    """How a body ends (RFC 9112, 6.3).

    :ivar length: bytes; ``None`` when it ends with the connection or is in chunks.
    :ivar persistent: whether the connection stays open after it.
    """

    length: int | None
    chunked: bool
    persistent: bool


def _framing(method: str, status: int, minor: int, fields: Mapping[str, list[str]]) -> _Framing:
    options = {option.strip().lower() for value in fields.get("connection", ()) for option in value.split(",")}
    persistent = "close" not in options and (minor == 1 or "keep-alive" in options)
    if method == "HEAD" or status in _BODILESS:
        return _Framing(0, chunked=False, persistent=persistent)
    codings = [c.strip().lower() for value in fields.get("transfer-encoding", ()) for c in value.split(",")]
    if codings:
        if codings != ["chunked"]:
            raise BrokenExchange(f"net/http: unsupported transfer encoding {', '.join(codings)!r}")
        return _Framing(None, chunked=True, persistent=persistent)
    lengths = {part.strip() for value in fields.get("content-length", ()) for part in value.split(",")}
    if not lengths:
        return _Framing(None, chunked=False, persistent=False)
    text = lengths.pop()
    if lengths or not (text.isascii() and text.isdigit() and len(text) < 20):
        raise BrokenExchange(f"net/http: bad Content-Length {', '.join(fields['content-length'])!r}")
    return _Framing(int(text), chunked=False, persistent=persistent)


class Reply:
    """A :class:`~lamina.registry.http.Response`."""

    def __init__(self, connection: _Connection, status: int, fields: dict[str, list[str]], framing: _Framing) -> None:
        self.status = status
        self._connection: _Connection | None = connection
        self._fields = fields
        self._framing = framing
        #: Bytes to come: of the body, or of the chunk; ``None`` until the connection ends.
        self._left = 0 if framing.chunked else framing.length
        self._ended = False
        self._begun = False

    def header(self, name: str) -> str:
        """See :class:`~lamina.registry.http.Response`."""
        return ", ".join(self.headers(name))

    def headers(self, name: str) -> list[str]:
        """See :class:`~lamina.registry.http.Response`."""
        return self._fields.get(name.lower(), [])

    def read(self, size: int) -> bytes:
        """See :class:`~lamina.registry.http.Response`."""
        connection = self._connection
        if connection is None or size <= 0:
            return b""
        try:
            if self._framing.chunked and not self._left:
                self._next_chunk(connection)
            if self._left == 0:
                self._end(connection)
                return b""
            data = connection.read(size if self._left is None else min(size, self._left))
        except (OSError, ValueError) as error:
            raise BrokenExchange(_broken(error)) from error
        if self._left is not None:
            if not data:
                raise BrokenExchange("unexpected EOF")
            self._left -= len(data)
            if self._left == 0 and not self._framing.chunked:
                self._end(connection)
        elif not data:
            self._end(connection)
        return data

    def _next_chunk(self, connection: _Connection) -> None:
        """Read to where a chunk's bytes begin; none are left after the last one."""
        if self._begun and connection.line() not in (b"\r\n", b"\n"):
            raise BrokenExchange("malformed chunked encoding")
        self._begun = True
        match = _CHUNK_SIZE.match(connection.line())
        if match is None:
            raise BrokenExchange("malformed chunked encoding")
        self._left = int(match[1], 16)
        if self._left == 0:
            for _ in range(_HEADER_LIMIT):  # trailers
                if connection.line() in (b"\r\n", b"\n"):
                    return
            raise BrokenExchange(f"net/http: the answer has more than {_HEADER_LIMIT} trailers")

    def _end(self, connection: _Connection) -> None:
        self._connection = None
        if self._framing.persistent:
            connection.release()
        else:
            connection.close()

    def interrupt(self) -> None:
        """See :class:`~lamina.registry.http.Response`."""
        connection = self._connection
        if connection is not None:
            try:
                connection.interrupt()
            except OSError:
                return  # it has ended already

    def close(self) -> None:
        """See :class:`~lamina.registry.http.Response`."""
        connection, left = self._connection, self._left
        if connection is None:
            return
        if left == 0 and not self._framing.chunked:
            self._end(connection)
        else:
            self._connection = None
            connection.close()


def _head(method: str, url: str, origin: Origin, headers: Mapping[str, str], body: Body) -> bytes:
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if _UNSAFE_TARGET.search(target):
        target = _UNSAFE_TARGET.sub(lambda match: quote(match[0]), target)
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    if not host.isascii():
        host = _in_ascii(host)
    if origin.port != _DEFAULT_PORTS[origin.scheme]:
        host += f":{origin.port}"
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in headers.items())]
    if not _has(headers, "content-length"):
        if isinstance(body, bytes) or (body is None and method in _WITH_BODY):
            lines.append(f"Content-Length: {len(body or b'')}")
        elif body is not None:
            lines.append("Transfer-Encoding: chunked")
    for line in lines:
        if _LINE_BREAK.search(line):
            raise NoConnection(f"net/http: invalid header field in the request: {line!r}")
    return "\r\n".join((*lines, "\r\n")).encode("latin-1", "replace")


def _in_ascii(host: str) -> str:
    """A name in another script as the network knows it (RFC 3490)."""
    try:
        return host.encode("idna").decode()
    except UnicodeError:
        raise NoConnection(f"dial tcp: lookup {host}: no such host") from None


def _has(headers: Mapping[str, str], name: str) -> bool:
    return any(given.lower() == name for given in headers)


def _in_chunks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        if piece:
            yield b"%x\r\n%b\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"


def not_connected(error: BaseException, origin: Origin) -> str:
    """Why ``origin`` could not be reached."""
    if isinstance(error, socket.gaierror):
        unknown = error.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))
        return f"dial tcp: lookup {origin.host}: {'no such host' if unknown else error.strerror}"
    if isinstance(error, UnicodeError):
        return f"dial tcp: lookup {origin.host}: no such host"
    if isinstance(error, TimeoutError):
        return f"dial tcp {origin.host}:{origin.port}: i/o timeout"
    return f"dial tcp {origin.host}:{origin.port}: connect: {_text(error)}"


def _broken(error: Exception) -> str:
    return "net/http: timeout awaiting an answer" if isinstance(error, TimeoutError) else _text(error)


def _text(error: BaseException) -> str:
    return (getattr(error, "strerror", None) or str(error) or "EOF").lower()
