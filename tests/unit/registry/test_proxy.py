from __future__ import annotations

import pytest

from lamina.errors import InvalidArgument
from lamina.reference import parse_tagged
from lamina.registry.client import RegistryClient
from lamina.registry.endpoint import Origin
from lamina.registry.errors import ConnectionFailed
from lamina.registry.proxy import proxy_for
from lamina.registry.settings import Proxies
from support.fake_registry import Asked, FakeRegistry, Reply

_URL = "http://proxy.example:3128"


def proxied(url: str, *no_proxy: str) -> bool:
    return bool(proxy_for(Origin.of(url), Proxies(_URL, _URL, no_proxy)))


def test_each_scheme_has_its_proxy() -> None:
    proxies = Proxies(http="http://one:1", https="two:2")
    assert proxy_for(Origin.of("http://a.example"), proxies) == "http://one:1"
    assert proxy_for(Origin.of("https://a.example"), proxies) == "http://two:2"
    assert proxy_for(Origin.of("https://a.example"), Proxies(http="http://one:1")) == ""


@pytest.mark.parametrize("url", ["http://localhost:5000", "https://127.0.0.1", "http://[::1]:5000"])
def test_the_loopback_is_never_proxied(url: str) -> None:
    assert not proxied(url)


@pytest.mark.parametrize(
    ("rule", "url", "direct"),
    [
        ("*", "https://a.example", True),
        ("a.example", "https://a.example", True),
        ("a.example", "https://b.a.example", True),
        ("a.example", "https://ba.example", False),
        (".a.example", "https://a.example", False),
        (".a.example", "https://b.a.example", True),
        ("a.example:5000", "https://a.example:5000", True),
        ("a.example:5000", "https://a.example", False),
        ("10.0.0.0/8", "https://10.1.2.3", True),
        ("10.0.0.0/8", "https://11.1.2.3", False),
        ("10.1.2.3", "https://10.1.2.3:99", True),
        ("fd00::1", "https://[fd00::1]", True),
        ("not/a/range", "https://a.example", False),
    ],
)
def test_no_proxy_follows_go_s_rules(rule: str, url: str, direct: bool) -> None:
    assert proxied(url, rule) is not direct


def test_a_proxy_of_another_kind_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="unsupported proxy"):
        proxy_for(Origin.of("https://a.example"), Proxies(https="socks5://proxy"))


def test_requests_go_through_the_proxy_with_its_password(fake_registry: FakeRegistry, client_with) -> None:
    seen: list[Asked] = []

    def answer(asked: Asked) -> Reply:
        seen.append(asked)
        return Reply(200, {"Content-Type": "application/json"}, b"{}")

    # A proxy gets absolute addresses in the request line.
    fake_registry.on("GET", "http://mirror.example:80/v2/library/x/manifests/latest", answer)
    fake_registry.on("GET", "http://mirror.example/v2/library/x/manifests/latest", answer)
    client: RegistryClient = client_with(
        mirrors=(("docker.io", ("http://mirror.example",)),),
        proxies=Proxies(http=f"http://us%20er:p%40%3Ass@{fake_registry.address}"),
    )
    assert client.manifest(parse_tagged("x")).raw == b"{}"
    assert seen[0].headers["proxy-authorization"] == "Basic dXMgZXI6cEA6c3M="  # "us er" and "p@:ss"


def test_why_a_proxy_is_of_no_use(fake_registry: FakeRegistry, client_with) -> None:
    for proxy, reason in (
        ("http://127.0.0.1:1", r"proxyconnect tcp: dial tcp 127\.0\.0\.1:1: connect: connection refused"),
        (fake_registry.url, "Unsupported method"),  # no proxy: it makes no tunnels
    ):
        client = client_with(proxies=Proxies(https=proxy))
        with pytest.raises(ConnectionFailed, match=f'^Get "https://a.example/v2/": {reason}'):
            client.manifest(parse_tagged("a.example/x"))
