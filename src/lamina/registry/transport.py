"""HTTP as registries need it: pools, proxies, TLS by host, redirects that are looked at, retries with back-off.

Nothing here knows about tokens: ``Authorization`` is a value that the caller gives for one origin, and it stays there.
"""

from __future__ import annotations

import ipaddress
import time
from _thread import allocate_lock
from collections.abc import Callable, Mapping
from urllib.parse import urljoin, urlsplit

from lamina.errors import InvalidArgument
from lamina.registry.answer import Answer
from lamina.registry.endpoint import DOCKER_HUB_HOST, Origin, is_insecure, resolve
from lamina.registry.errors import ConnectionFailed, RefusedRedirect, printable
from lamina.registry.http import Body, BrokenExchange, NoConnection
from lamina.registry.proxy import proxy_for
from lamina.registry.settings import Settings
from lamina.typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import ssl

    from lamina.registry.exchange import Exchange

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_REDIRECT_LIMIT = 10
_RETRIED = frozenset({429, 500, 502, 503, 504})
#: Instance metadata beyond the link-local ranges: AWS over IPv6, Alibaba, Oracle.
_METADATA = frozenset(ipaddress.ip_address(text) for text in ("fd00:ec2::254", "100.100.100.200", "192.0.0.192"))


class Unreachable(ConnectionFailed):
    """No connection to ``origin`` came about, so nothing was sent.

    :ivar reason: why, without what was asked for.
    """

    def __init__(self, what: str, reason: str, origin: Origin) -> None:
        super().__init__(f"{what}: {reason}")
        self.reason = reason
        self.origin = origin


class Request(NamedTuple):
    """What to send.

    :ivar authorization: for the origin of ``url`` only.
    :ivar body: bytes, or chunks that can be sent once (then nothing is retried or redirected); chunks travel in chunked
        encoding unless ``headers`` has a ``Content-Length``.
    :ivar attempts: how often to try; 0 for what the settings say.
    """

    method: str
    url: str
    headers: Mapping[str, str] = {}
    authorization: str = ""
    body: Body = None
    attempts: int = 0


class Transport:
    """Sends requests. Thread-safe.

    :param wait: how to wait some seconds between attempts.
    """

    def __init__(self, settings: Settings, *, wait: Callable[[float], object] = time.sleep) -> None:
        self.settings = settings
        self._wait = wait
        self._lock = allocate_lock()
        self._exchanges: dict[tuple[str, str], Exchange] = {}
        self._contexts: dict[tuple[str, bool], ssl.SSLContext] = {}
        self._answered: set[Origin] = set()

    def close(self) -> None:
        """Close idle connections."""
        with self._lock:
            exchanges, self._exchanges = list(self._exchanges.values()), {}
        for exchange in exchanges:
            exchange.close()

    def send(self, request: Request, *, wait: Callable[[float], object] | None = None) -> Answer:
        """Send, follow redirects, try again after failures that may pass.

        Requests with a body of chunks are sent once. A connection that does not come about is tried again only where
        one came about before, so that the next mirror or plain http gets its turn at once.

        :raises ConnectionFailed: no answer after all attempts.
        :raises RefusedRedirect: the answer leads to a place that is out of bounds.
        """
        once = not (request.body is None or isinstance(request.body, bytes))
        attempts = 1 if once else request.attempts or self.settings.attempts
        pause = wait or self._wait
        for attempt in range(1, attempts + 1):
            try:
                answer = self._follow(request)
            except ConnectionFailed as error:
                hopeless = isinstance(error, Unreachable) and Origin.of(request.url) not in self._answered
                if attempt == attempts or hopeless:
                    raise
                pause(self.delay(attempt))
                continue
            if answer.status not in _RETRIED or attempt == attempts:
                return answer
            retry_after = answer.header("Retry-After")
            answer.close()
            pause(self.delay(attempt, retry_after))
        raise AssertionError("unreachable: the last attempt returns or raises")

    def has_answered(self, origin: Origin) -> bool:
        """Whether ``origin`` has answered any request before."""
        return origin in self._answered

    def delay(self, attempt: int, retry_after: str = "") -> float:
        """Seconds to wait after the failed attempt number ``attempt``."""
        settings = self.settings
        wanted = max(settings.backoff * 2.0 ** (attempt - 1), _seconds(retry_after))
        return min(wanted, settings.backoff_limit)

    def _follow(self, request: Request) -> Answer:
        home = Origin.of(request.url)
        url, method, body = request.url, request.method, request.body
        foreign = False
        for _ in range(_REDIRECT_LIMIT + 1):
            headers = dict(request.headers)
            if request.authorization and not foreign:
                headers["Authorization"] = request.authorization
            answer = self._exchange(method, url, headers, body, redirected=foreign)
            location = answer.header("Location")
            if answer.status not in _REDIRECTS or not location:
                return answer
            answer.close()
            if not (body is None or isinstance(body, bytes)):
                raise RefusedRedirect(f"{answer.what}: the registry redirects an upload that is under way")
            target = self.checked_location(url, location)
            # Once away from home the credentials stay away, even if a later hop leads back.
            foreign = foreign or Origin.of(target) != home
            if answer.status == 303 and method != "HEAD":
                method, body = "GET", None
            url = target
        raise RefusedRedirect(f'{method.capitalize()} "{printable(request.url.partition("?")[0])}": too many redirects')

    def checked_location(self, url: str, location: str) -> str:
        """The absolute form of a ``Location`` that came in an answer from ``url``.

        :raises RefusedRedirect: not http(s), from https down to http, or an address that only this machine's own
            infrastructure answers on (cloud metadata services).
        """
        try:
            target = urljoin(url, location)
            origin = Origin.of(target)
        except (ValueError, InvalidArgument):
            raise RefusedRedirect(
                f"refused to follow a redirect from {_place(url)} to {printable(location)!r}"
            ) from None
        home = Origin.of(url)
        if home.scheme == "https" and origin.scheme != "https":
            raise RefusedRedirect(
                f"refused to follow a redirect from {_place(url)} down to plain http at {origin.host}"
            )
        if origin != home:
            refuse_metadata_address(origin)
        return target.partition("#")[0]

    def check_foreign(self, url: str) -> None:
        """Refuse an address that a manifest gives when it is out of bounds. Raises as :meth:`checked_location` does."""
        try:
            refuse_metadata_address(Origin.of(url))
        except InvalidArgument:
            raise RefusedRedirect(f"refused to fetch a layer from {printable(url)!r}") from None

    def _exchange(self, method: str, url: str, headers: dict[str, str], body: Body, *, redirected: bool) -> Answer:
        headers.setdefault("User-Agent", self.settings.user_agent)
        headers.setdefault("Accept-Encoding", "identity")
        origin = Origin.of(url)
        what = f'{method.capitalize()} "{printable(url.partition("?")[0])}"'
        try:
            response = self._exchange_for(url, origin).send(method, url, headers, body)
        except NoConnection as error:
            raise Unreachable(what, printable(str(error)), origin) from error
        except BrokenExchange as error:
            raise ConnectionFailed(f"{what}: {printable(str(error))}") from error
        self._answered.add(origin)
        return Answer(response, method, url, redirected=redirected)

    def _exchange_for(self, url: str, origin: Origin) -> Exchange:
        """The connections that go the same way: through one proxy or none, over TLS with the same certificates."""
        proxy = proxy_for(origin, self.settings.proxies)
        host = urlsplit(url).netloc.rpartition("@")[2] if origin.scheme == "https" else ""
        with self._lock:
            exchange = self._exchanges.get((host, proxy))
            if exchange is None:
                exchange = self._exchanges[(host, proxy)] = self._make_exchange(host, proxy)
            return exchange

    def _make_exchange(self, host: str, proxy: str) -> Exchange:
        from lamina.registry.exchange import Exchange

        settings = self.settings
        return Exchange(
            self._context(host) if host else None,
            proxy=proxy,
            connect_timeout=settings.connect_timeout,
            read_timeout=settings.read_timeout,
        )

    def _context(self, host: str) -> ssl.SSLContext:
        """One for all hosts that have no certificates of their own: authorities take long to load."""
        from lamina.registry.certificates import directory_of, tls_context

        settings = self.settings
        verify = not is_insecure(host, settings.insecure)
        directory = directory_of("docker.io" if host == DOCKER_HUB_HOST else host, settings.certificate_directories)
        context = self._contexts.get((directory, verify))
        if context is None:
            context = self._contexts[(directory, verify)] = tls_context(directory, settings.ca_file, verify=verify)
        return context


def refuse_metadata_address(origin: Origin) -> None:
    """Refuse hosts that are, or resolve to, link-local or metadata addresses.

    :raises RefusedRedirect: it is one.
    """
    for address in resolve(origin.host):
        mapped = getattr(address, "ipv4_mapped", None) or address
        if mapped.is_link_local or mapped.is_multicast or mapped.is_unspecified or mapped in _METADATA:
            raise RefusedRedirect(
                f"refused to follow the registry to {origin.host} ({mapped}): not a registry's address"
            )


def _place(url: str) -> str:
    return printable(url.partition("?")[0])


def _seconds(retry_after: str) -> float:
    """``Retry-After``: seconds or an HTTP date; 0 for neither."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    if not text:
        return 0.0
    import email.utils

    try:
        moment = email.utils.parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError):
        return 0.0
    return max(0.0, moment.timestamp() - time.time())
