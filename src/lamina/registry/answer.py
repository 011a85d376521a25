"""One HTTP answer, read with a cap."""

from __future__ import annotations

import zlib
from types import TracebackType

from lamina.registry.errors import ConnectionFailed, ServerFailure, printable
from lamina.registry.http import BrokenExchange
from lamina.typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from lamina.registry.exchange import Response

_GZIP_WINDOW = 31
#: Most bytes of an error document that are read.
ERROR_LIMIT = 64 << 10


class Answer:
    """Status, headers and a body that is still on the wire. Close it, or leave its ``with`` block.

    :ivar method: of the request.
    :ivar url: where the answer came from in the end, after redirects.
    :ivar redirected: whether that is another origin than the request's.
    """

    __slots__ = ("_response", "method", "redirected", "status", "url")

    def __init__(self, response: Response, method: str, url: str, *, redirected: bool) -> None:
        self._response = response
        self.status = response.status
        self.method = method
        self.url = url
        self.redirected = redirected

    @property
    def what(self) -> str:
        """How messages name the request. Queries hold signatures, so they stay out."""
        return f'{self.method.capitalize()} "{printable(self.url.partition("?")[0])}"'

    def header(self, name: str) -> str:
        """The value of a header, ``""`` when it is absent."""
        return self._response.header(name)

    def headers(self, name: str) -> list[str]:
        """Every value of a header that may come several times."""
        return self._response.headers(name)

    @property
    def length(self) -> int | None:
        """``Content-Length``; ``None`` when the body is chunked or ends with the connection."""
        text = self.header("Content-Length")
        return int(text) if text.isascii() and text.isdigit() and not self.header("Transfer-Encoding") else None

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes as they travel (never decoded), ``b""`` at the end.

        :raises ConnectionFailed: the connection broke, or ended before ``Content-Length``.
        """
        try:
            return self._response.read(size)
        except BrokenExchange as error:
            raise ConnectionFailed(f"{self.what}: {printable(str(error))}") from error

    def read_all(self, limit: int) -> bytes:
        """The whole body, decoded when the server compressed it.

        :raises ServerFailure: it is longer than ``limit``, or compressed in a way that nobody asked for.
        """
        raw = self._read_up_to(limit + 1)
        encoding = self.header("Content-Encoding").strip().lower()
        if encoding in ("gzip", "x-gzip") and raw[:2] == b"\x1f\x8b":
            raw = self._decompress(raw, limit)
        elif encoding not in ("", "identity", "gzip", "x-gzip"):
            raise ServerFailure("UNKNOWN", f"{self.what}: unsupported Content-Encoding {printable(encoding)!r}")
        if len(raw) > limit:
            raise ServerFailure("UNKNOWN", f"{self.what}: the answer is longer than {limit} bytes", self.status)
        return raw

    def read_error(self) -> bytes:
        """The beginning of an error document; whatever goes wrong with it is not worth another error."""
        try:
            return self._read_up_to(ERROR_LIMIT)
        except ConnectionFailed:
            return b""

    def refusal(self) -> str:
        """The status in words and what the server says about it: ``404 Not Found: no such file``."""
        from http import HTTPStatus

        try:
            status = f"{self.status} {HTTPStatus(self.status).phrase}"
        except ValueError:
            status = str(self.status)
        return f"{status}: {printable(self.read_error().decode('utf-8', 'replace'))}"

    def _read_up_to(self, limit: int) -> bytes:
        body = bytearray()
        while len(body) < limit and (chunk := self.read(min(64 << 10, limit - len(body)))):
            body += chunk
        return bytes(body)

    def _decompress(self, raw: bytes, limit: int) -> bytes:
        try:
            return zlib.decompressobj(_GZIP_WINDOW).decompress(raw, limit + 1)
        except zlib.error as error:
            raise ServerFailure("UNKNOWN", f"{self.what}: {error}", self.status) from error

    def interrupt(self) -> None:
        """Wake a thread that is in :meth:`read`; it raises :class:`ConnectionFailed` or sees the end."""
        self._response.interrupt()

    def close(self) -> None:
        """Give the connection back when little or nothing of the body is left, else drop it."""
        if self.method == "HEAD" or (self.length is not None and self.length <= ERROR_LIMIT):
            self.read_error()
        self._response.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
