"""Where a registry is: its host, its mirrors, and which of them may be spoken to without TLS.

Rules: Docker's documentation of ``insecure-registries`` and ``registry-mirrors``. An insecure registry is tried over
https without verification first and then over plain http.
"""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

from lamina.errors import InvalidArgument
from lamina.reference import DEFAULT_DOMAIN
from lamina.registry.settings import Settings
from lamina.typing import NamedTuple

#: Where docker.io's registry answers.
DOCKER_HUB_HOST = "registry-1.docker.io"
_DEFAULT_PORTS = {"http": 80, "https": 443}
_LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))


class Origin(NamedTuple):
    """Scheme, host and port: what credentials belong to."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Origin:
        """The origin of an absolute http(s) URL.

        :raises InvalidArgument: another scheme, no host or a bad port.
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise InvalidArgument(f"invalid URL {url!r}: {error}") from error
        if parts.scheme not in _DEFAULT_PORTS or not host:
            raise InvalidArgument(f"invalid URL {url!r}: only http and https with a host will do")
        return cls(parts.scheme, host.lower(), port or _DEFAULT_PORTS[parts.scheme])


class Endpoint(NamedTuple):
    """One place to ask.

    :ivar url: base URL without a trailing slash: ``https://registry-1.docker.io``.
    :ivar host: ``host`` or ``host:port`` as the user wrote it; names credentials and ``certs.d`` directories.
    :ivar insecure: whether the registry is one that may speak plain http.
    """

    url: str
    host: str
    mirror: bool
    insecure: bool

    @property
    def origin(self) -> Origin:
        return Origin.of(self.url)


def endpoints(domain: str, settings: Settings, *, writing: bool = False) -> list[Endpoint]:
    """The places to ask for ``domain``, in order; mirrors only for reading.

    :raises InvalidArgument: a mirror's URL is unusable.
    """
    found: list[Endpoint] = []
    for mirror in () if writing else settings.mirrors_of(domain):
        found += _mirror(mirror, settings)
    host = DOCKER_HUB_HOST if domain == DEFAULT_DOMAIN else domain
    name = DEFAULT_DOMAIN if domain == DEFAULT_DOMAIN else host
    insecure = is_insecure(host, settings.insecure)
    found.append(Endpoint(f"https://{host}", name, False, insecure))
    if insecure:
        found.append(Endpoint(f"http://{host}", name, False, True))
    return found


def _mirror(url: str, settings: Settings) -> list[Endpoint]:
    parts = urlsplit(url if "://" in url else f"https://{url}")
    base = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
    Origin.of(base)
    if parts.username or parts.query or parts.fragment:
        raise InvalidArgument(f"invalid mirror: unsupported user, query or fragment in {url!r}")
    if parts.scheme == "http":
        return [Endpoint(base, parts.netloc, True, True)]
    return [Endpoint(base, parts.netloc, True, is_insecure(parts.netloc, settings.insecure))]


def is_insecure(host: str, insecure: tuple[str, ...]) -> bool:
    """Whether ``host`` (``name`` or ``name:port``) is on the loopback or named by ``insecure``."""
    if host in insecure:
        return True
    name = host_name(host)
    if name in insecure or name == "localhost":
        return True
    networks = [*_LOOPBACK, *(network for text in insecure if (network := _network(text)) is not None)]
    return any(address in network for address in _addresses(name, networks) for network in networks)


def is_loopback(host: str) -> bool:
    """Whether ``host``, without a port, is this machine by its name or address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def host_name(host: str) -> str:
    """``host`` without its port and brackets, in lower case."""
    return (urlsplit(f"//{host}").hostname or host).lower()


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False) if "/" in text else None
    except ValueError:
        return None


def _addresses(
    name: str, networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network]
) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """The addresses of ``name``. A name is looked up only when a range beyond the loopback is configured."""
    try:
        return [ipaddress.ip_address(name)]
    except ValueError:
        return resolve(name) if len(networks) > len(_LOOPBACK) else []


def resolve(name: str) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """What the resolver says about ``name``; nothing when it does not know."""
    try:
        answers = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [ipaddress.ip_address(str(answer[4][0]).partition("%")[0]) for answer in answers]
