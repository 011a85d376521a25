"""What one HTTP exchange takes and how it fails; :mod:`lamina.registry.exchange` makes them."""

from __future__ import annotations

from collections.abc import Iterable

#: The reason when who should speak TLS does not.
NOT_TLS = "http: server gave HTTP response to HTTPS client"

Body = bytes | Iterable[bytes] | None


class NoConnection(Exception):
    """No connection came about, so nothing was sent. The text is the reason, for a person."""


class BrokenExchange(Exception):
    """The request or its answer broke off, or is not HTTP. The text is the reason, for a person."""
