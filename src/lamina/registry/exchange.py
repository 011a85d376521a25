"""HTTP over urllib3, whose errors are worded as Go's ``net/http`` words them, for those are what people look for.

Imported with the first request: urllib3 takes longer to load than most requests take.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Mapping
from http.client import BadStatusLine, HTTPException, IncompleteRead, RemoteDisconnected
from urllib.parse import unquote, urlsplit

from urllib3 import BaseHTTPResponse, PoolManager, ProxyManager, Timeout, disable_warnings, exceptions, make_headers

from lamina.registry.certificates import handshake_failure
from lamina.registry.endpoint import Origin
from lamina.registry.http import Body, BrokenExchange, NoConnection

_POOL_SIZE = 16
#: What ``http.client`` says, before the status, about a proxy that makes no tunnel.
_TUNNEL = "Tunnel connection failed: "
_BROKEN = "net/http: HTTP/1.x transport connection broken"
_NO_CONNECTION = (
    exceptions.NewConnectionError,
    exceptions.ConnectTimeoutError,
    exceptions.SSLError,
    exceptions.ProxyError,
    exceptions.LocationParseError,
)


class Exchange:
    """Sends requests over connections that it keeps. Thread-safe.

    :param context: for hosts that are spoken to over TLS.
    :param proxy: URL of the proxy, ``""`` for none.
    :param connect_timeout: seconds to wait for a connection.
    :param read_timeout: seconds to wait for the next bytes.
    """

    def __init__(
        self, context: ssl.SSLContext | None, *, proxy: str = "", connect_timeout: float, read_timeout: float
    ) -> None:
        disable_warnings(exceptions.InsecureRequestWarning)  # whoever configured it knows
        timeout = Timeout(connect=connect_timeout, read=read_timeout)
        self._proxy = Origin.of(proxy) if proxy else None
        self._manager = (
            _through(proxy, context, timeout)
            if proxy
            else PoolManager(maxsize=_POOL_SIZE, timeout=timeout, ssl_context=context)
        )

    def send(self, method: str, url: str, headers: Mapping[str, str], body: Body) -> Response:
        """Send one request.

        :param body: chunks travel in chunked encoding unless ``headers`` has a ``Content-Length``.
        :raises NoConnection: nothing was sent.
        :raises BrokenExchange: no answer came.
        """
        origin = Origin.of(url)
        if not origin.host.isascii():
            url = _in_ascii(url, origin.host)
        try:
            response = self._manager.urlopen(
                method,
                url,
                body=body,
                headers=headers,
                chunked=not (body is None or isinstance(body, bytes) or "Content-Length" in headers),
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
            )
        except _NO_CONNECTION as error:
            raise NoConnection(self._not_connected(error, origin)) from error
        except (exceptions.HTTPError, HTTPException, OSError) as error:
            raise BrokenExchange(_broken(error)) from error
        except ValueError as error:  # its text holds the value, which may be a password
            raise NoConnection("net/http: invalid header field value") from error
        return Response(response)

    def _not_connected(self, error: Exception, origin: Origin) -> str:
        """Why neither ``origin`` nor the proxy on the way to it could be reached."""
        for cause in _causes(error):
            if isinstance(cause, ssl.SSLError):
                return handshake_failure(cause, origin.host)
            if str(cause).startswith(_TUNNEL):
                return str(cause).removeprefix(_TUNNEL).lstrip("0123456789 ")
            if isinstance(cause, OSError | UnicodeError):
                if self._proxy is not None:
                    return f"proxyconnect tcp: {_not_dialled(cause, self._proxy)}"
                return _not_dialled(cause, origin)
        return _text(error)

    def close(self) -> None:
        """Close idle connections."""
        self._manager.clear()


class Response:
    """An answer whose body is still on the wire."""

    def __init__(self, response: BaseHTTPResponse) -> None:
        self._response = response
        self.status = response.status

    def header(self, name: str) -> str:
        """A header's value, ``""`` when it is absent; several are joined by commas."""
        value: str = self._response.headers.get(name, "")
        return value

    def headers(self, name: str) -> list[str]:
        """Every value of a header, as they came."""
        return list(self._response.headers.getlist(name))

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes of the body as they travel, ``b""`` at its end. Raises :class:`BrokenExchange`."""
        try:
            return self._response.read1(size, decode_content=False) or b""
        except (exceptions.HTTPError, HTTPException, OSError, ValueError) as error:
            raise BrokenExchange(_broken(error)) from error

    def interrupt(self) -> None:
        """Wake a thread that is in :meth:`read`. From any thread."""
        try:
            self._response.shutdown()
        except (OSError, ValueError, RuntimeError):
            return  # it has no connection any more

    def close(self) -> None:
        """Keep the connection for the next request when the whole body was read, else drop it. Idempotent."""
        self._response.close()


def _through(proxy: str, context: ssl.SSLContext | None, timeout: Timeout) -> ProxyManager:
    parts = urlsplit(proxy)
    user = f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else None
    return ProxyManager(
        f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}",
        maxsize=_POOL_SIZE,
        timeout=timeout,
        ssl_context=context,
        proxy_headers=make_headers(proxy_basic_auth=user) if user else None,
    )


def _in_ascii(url: str, host: str) -> str:
    """``url`` with the name of ``host``, in another script, as the network knows it (RFC 3490)."""
    parts = urlsplit(url)
    try:
        name = host.encode("idna").decode()
    except UnicodeError:
        raise NoConnection(f"dial tcp: lookup {host}: no such host") from None
    port = "" if parts.port is None else f":{parts.port}"
    return parts._replace(netloc=name + port).geturl()


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and what it came of."""
    while error is not None:
        yield error
        reason = getattr(error, "reason", None)
        error = reason if isinstance(reason, BaseException) else error.__cause__ or error.__context__


def _not_dialled(error: OSError | UnicodeError, origin: Origin) -> str:
    if isinstance(error, socket.gaierror):
        unknown = error.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))
        return f"dial tcp: lookup {origin.host}: {'no such host' if unknown else error.strerror}"
    if isinstance(error, UnicodeError):
        return f"dial tcp: lookup {origin.host}: no such host"
    if isinstance(error, TimeoutError):
        return f"dial tcp {origin.host}:{origin.port}: i/o timeout"
    return f"dial tcp {origin.host}:{origin.port}: connect: {_text(error)}"


def _broken(error: Exception) -> str:
    """Why no answer, or not all of it, came."""
    for cause in _causes(error):
        if isinstance(cause, TimeoutError | exceptions.ReadTimeoutError):
            return "net/http: timeout awaiting an answer"
        if isinstance(cause, RemoteDisconnected):
            return "EOF"
        if isinstance(cause, IncompleteRead | exceptions.IncompleteRead):
            return "unexpected EOF"
        if isinstance(cause, BadStatusLine):
            return f"{_BROKEN}: malformed HTTP response {cause.args[0]!r}"
        if isinstance(cause, HTTPException):
            return f"{_BROKEN}: {cause}"
        if isinstance(cause, OSError):
            return _text(cause)
    return _text(error)


def _text(error: BaseException) -> str:
    """What a person needs of an exception; those of urllib3 name its own objects first."""
    strerror = getattr(error, "strerror", None)
    if strerror:
        return str(strerror).lower()
    text = str(error)
    return text.rpartition(">: ")[2] or text or "EOF"
