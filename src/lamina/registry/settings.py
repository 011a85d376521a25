"""How this host reaches registries: mirrors, insecure ones, proxies, certificates, patience."""

from __future__ import annotations

from lamina.configuration import Configuration
from lamina.reference import DEFAULT_DOMAIN
from lamina.typing import NamedTuple


class Proxies(NamedTuple):
    """Proxy URLs by scheme of the request, ``""`` for none, and Go's ``NO_PROXY`` list.

    ``no_proxy`` holds host names (which cover their subdomains), ``.example.com``, addresses, CIDR ranges, ``*``;
    a port may follow a name. The loopback is never proxied, as in Docker.
    """

    http: str = ""
    https: str = ""
    no_proxy: tuple[str, ...] = ()


class Settings(NamedTuple):
    """What a :class:`~lamina.registry.client.RegistryClient` is told once.

    :ivar mirrors: base URLs to ask first, by the registry's domain as references have it (``docker.io``). They serve
        reading only.
    :ivar insecure: host names, ``host:port`` or CIDR ranges whose certificate is not verified and which may speak
        plain http. The loopback always is, as in Docker.
    :ivar certificate_directories: directories in the form of ``/etc/docker/certs.d``, the first with a match counts.
    :ivar ca_file: PEM file of certificate authorities to trust besides the system's; ``""`` for none.
    :ivar attempts: how often a request or a download that makes no headway is tried in all.
    :ivar backoff: seconds before the second attempt; doubles each time.
    :ivar backoff_limit: most seconds between two attempts, whatever ``Retry-After`` says.
    :ivar concurrent_downloads: layers of one image that are downloaded at once.
    :ivar concurrent_uploads: layers of one image that are uploaded at once.
    :ivar keep_blobs: whether a pull keeps the layers as they travelled, so that a push sends the very same bytes.
    :ivar connect_timeout: seconds to wait for a connection.
    :ivar read_timeout: seconds to wait for the next bytes.
    """

    mirrors: tuple[tuple[str, tuple[str, ...]], ...] = ()
    insecure: tuple[str, ...] = ()
    proxies: Proxies = Proxies()
    certificate_directories: tuple[str, ...] = ("/etc/lamina/certs.d", "/etc/docker/certs.d")
    ca_file: str = ""
    attempts: int = 5
    backoff: float = 1.0
    backoff_limit: float = 60.0
    concurrent_downloads: int = 3
    concurrent_uploads: int = 5
    keep_blobs: bool = False
    connect_timeout: float = 15.0
    read_timeout: float = 60.0
    user_agent: str = "lamina"

    def mirrors_of(self, domain: str) -> tuple[str, ...]:
        """The mirrors of ``domain``, in the order to ask them."""
        return tuple(url for name, urls in self.mirrors if name == domain for url in urls)


def from_configuration(configuration: Configuration) -> Settings:
    """What ``daemon.json`` says about registries."""
    mirrors = [(DEFAULT_DOMAIN, configuration.registry_mirrors), *configuration.registry_mirrors_for]
    proxies = configuration.proxies
    no_proxy = tuple(filter(None, (rule.strip() for rule in proxies.no_proxy.split(","))))
    return Settings(
        mirrors=tuple(mirrors),
        insecure=configuration.insecure_registries,
        proxies=Proxies(proxies.http_proxy, proxies.https_proxy, no_proxy),
        ca_file=configuration.ca_file,
        attempts=configuration.max_download_attempts,
        concurrent_downloads=configuration.max_concurrent_downloads,
        concurrent_uploads=configuration.max_concurrent_uploads,
        keep_blobs=configuration.keep_blobs,
    )
