"""What one HTTP exchange is, whoever makes it: :mod:`lamina.registry.direct` or, through proxies,
:mod:`lamina.registry.proxied`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lamina.typing import Protocol

#: The reason when who should speak TLS does not.
NOT_TLS = "http: server gave HTTP response to HTTPS client"

Body = bytes | Iterable[bytes] | None


class NoConnection(Exception):
    """No connection came about, so nothing was sent. The text is the reason, for a person."""


class BrokenExchange(Exception):
    """The request or its answer broke off, or is not HTTP. The text is the reason, for a person."""


class Response(Protocol):
    """An answer whose body is still on the wire."""

    status: int

    def header(self, name: str) -> str:
        """A header's value, ``""`` when it is absent; several are joined by commas."""

    def headers(self, name: str) -> list[str]:
        """Every value of a header, as they came."""

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes of the body as they travel, ``b""`` at its end. Raises :class:`BrokenExchange`."""

    def interrupt(self) -> None:
        """Wake a thread that is in :meth:`read`. From any thread."""

    def close(self) -> None:
        """Keep the connection for the next request when the whole body was read, else drop it. Idempotent."""


class Exchange(Protocol):
    """Sends requests over connections that it keeps. Thread-safe."""

    def send(self, method: str, url: str, headers: Mapping[str, str], body: Body) -> Response:
        """Send one request.

        :param body: chunks travel in chunked encoding unless ``headers`` has a ``Content-Length``.
        :raises NoConnection: nothing was sent.
        :raises BrokenExchange: no answer came.
        """

    def close(self) -> None:
        """Close idle connections."""
