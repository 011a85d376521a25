"""HTTP through a proxy, which urllib3 knows how to speak to: over TLS or not, with tunnels, with a password.

Imported only where a proxy is configured: it takes longer to load than most requests take.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from http.client import HTTPException
from urllib.parse import unquote, urlsplit

from urllib3 import BaseHTTPResponse, ProxyManager, Timeout, disable_warnings, exceptions, make_headers

from lamina.registry.certificates import handshake_failure
from lamina.registry.direct import not_connected
from lamina.registry.endpoint import Origin
from lamina.registry.http import Body, BrokenExchange, NoConnection

_POOL_SIZE = 16
#: What ``http.client`` says, before the status, about a proxy that makes no tunnel.
_TUNNEL = "Tunnel connection failed: "


class Proxied:
    """An :class:`~lamina.registry.http.Exchange` through ``proxy``.

    :param context: for hosts that are spoken to over TLS.
    :param connect_timeout: seconds to wait for a connection.
    :param read_timeout: seconds to wait for the next bytes.
    """

    def __init__(
        self, proxy: str, context: ssl.SSLContext | None, *, connect_timeout: float, read_timeout: float
    ) -> None:
        disable_warnings(exceptions.InsecureRequestWarning)  # whoever configured it knows
        parts = urlsplit(proxy)
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else None
        self._proxy = Origin.of(proxy)
        self._manager = ProxyManager(
            f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}",
            maxsize=_POOL_SIZE,
            timeout=Timeout(connect=connect_timeout, read=read_timeout),
            ssl_context=context,
            proxy_headers=make_headers(proxy_basic_auth=user) if user else None,
        )

    def send(self, method: str, url: str, headers: Mapping[str, str], body: Body) -> ProxiedReply:
        """See :class:`~lamina.registry.http.Exchange`."""
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
        except (exceptions.NewConnectionError, exceptions.ConnectTimeoutError, exceptions.SSLError) as error:
            raise NoConnection(self._not_connected(error, url)) from error
        except (exceptions.ProxyError, exceptions.LocationParseError) as error:
            raise NoConnection(self._not_connected(error, url)) from error
        except (exceptions.HTTPError, OSError, ValueError) as error:
            raise BrokenExchange(_reason(error)) from error
        return ProxiedReply(response)

    def _not_connected(self, error: Exception, url: str) -> str:
        """Why neither the proxy nor, through it, the host of ``url`` could be reached, in Go's words."""
        for cause in _causes(error):
            if isinstance(cause, ssl.SSLError):
                return handshake_failure(cause, Origin.of(url).host)
            if str(cause).startswith(_TUNNEL):
                return str(cause).removeprefix(_TUNNEL).lstrip("0123456789 ")
            if isinstance(cause, OSError):
                return f"proxyconnect tcp: {not_connected(cause, self._proxy)}"
        return _reason(error)

    def close(self) -> None:
        """See :class:`~lamina.registry.http.Exchange`."""
        self._manager.clear()


class ProxiedReply:
    """A :class:`~lamina.registry.http.Response`."""

    def __init__(self, response: BaseHTTPResponse) -> None:
        self._response = response
        self.status = response.status

    def header(self, name: str) -> str:
        """See :class:`~lamina.registry.http.Response`."""
        value: str = self._response.headers.get(name, "")
        return value

    def headers(self, name: str) -> list[str]:
        """See :class:`~lamina.registry.http.Response`."""
        return list(self._response.headers.getlist(name))

    def read(self, size: int) -> bytes:
        """See :class:`~lamina.registry.http.Response`."""
        try:
            return self._response.read(size, decode_content=False)
        except (exceptions.HTTPError, HTTPException, OSError, ValueError) as error:
            raise BrokenExchange(str(error)) from error

    def interrupt(self) -> None:
        """See :class:`~lamina.registry.http.Response`."""
        try:
            self._response.shutdown()
        except (OSError, ValueError, RuntimeError):
            return  # it has no connection any more

    def close(self) -> None:
        """See :class:`~lamina.registry.http.Response`."""
        self._response.close()


def _reason(error: Exception) -> str:
    """What a person needs of an exception of urllib3, which names its own objects first."""
    text = str(getattr(error, "reason", None) or error.__cause__ or error)
    return text.rpartition(">: ")[2] or text


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and what it came of."""
    while error is not None:
        yield error
        reason = getattr(error, "reason", None)
        error = reason if isinstance(reason, BaseException) else error.__cause__ or error.__context__
