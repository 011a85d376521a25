"""Which requests go through a proxy (Go's ``httpproxy`` rules, which Docker's configuration follows)."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from lamina.errors import InvalidArgument
from lamina.registry.endpoint import Origin, is_loopback
from lamina.registry.settings import Proxies


def proxy_for(origin: Origin, proxies: Proxies) -> str:
    """The URL of the proxy for requests to ``origin``, ``""`` when they go direct.

    :raises InvalidArgument: the proxy's URL is unusable.
    """
    url = proxies.https if origin.scheme == "https" else proxies.http
    if not url or _is_direct(origin, proxies.no_proxy):
        return ""
    url = url if "://" in url else f"http://{url}"
    if urlsplit(url).scheme not in ("http", "https"):
        raise InvalidArgument(f"unsupported proxy {url!r}: only http and https proxies will do")
    return url


def _is_direct(origin: Origin, no_proxy: tuple[str, ...]) -> bool:
    if is_loopback(origin.host):
        return True
    address = _address(origin.host)
    return any(_covers(rule.strip().lower(), origin, address) for rule in no_proxy)


def _covers(rule: str, origin: Origin, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None) -> bool:
    if rule == "*":
        return True
    if "/" in rule:
        try:
            return address is not None and address in ipaddress.ip_network(rule, strict=False)
        except ValueError:
            return False
    name, port = _split_port(rule)
    if not name or (port and port != origin.port):
        return False
    if address is not None:
        return _address(name) == address
    name = name.removeprefix("*")
    if name.startswith("."):
        return origin.host.endswith(name)
    return origin.host == name or origin.host.endswith(f".{name}")


def _split_port(rule: str) -> tuple[str, int]:
    if rule.count(":") > 1 and not rule.startswith("["):
        return rule, 0
    try:
        parts = urlsplit(f"//{rule}")
        return parts.hostname or "", parts.port or 0
    except ValueError:
        return "", 0


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
