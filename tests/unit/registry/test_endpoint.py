from __future__ import annotations

import pytest

from lamina.errors import InvalidArgument
from lamina.registry.endpoint import Origin, endpoints, is_insecure
from lamina.registry.settings import Settings


def urls(domain: str, settings: Settings | None = None, *, writing: bool = False) -> list[str]:
    return [endpoint.url for endpoint in endpoints(domain, settings or Settings(), writing=writing)]


def test_docker_hub_is_asked_at_its_registry_host() -> None:
    assert urls("docker.io") == ["https://registry-1.docker.io"]


def test_another_registry_is_asked_over_https_only() -> None:
    assert urls("quay.io") == ["https://quay.io"]
    assert urls("registry.example:5000") == ["https://registry.example:5000"]


@pytest.mark.parametrize("host", ["localhost:5000", "127.0.0.1:5000", "127.9.9.9", "[::1]:5000"])
def test_the_loopback_is_insecure_by_default(host: str) -> None:
    assert urls(host) == [f"https://{host}", f"http://{host}"]


@pytest.mark.parametrize("rule", ["10.1.2.3:5000", "10.1.2.3", "10.0.0.0/8"])
def test_insecure_registries_are_named_by_host_or_range(rule: str) -> None:
    assert urls("10.1.2.3:5000", Settings(insecure=(rule,))) == ["https://10.1.2.3:5000", "http://10.1.2.3:5000"]


def test_a_host_with_another_port_is_not_the_insecure_one() -> None:
    assert not is_insecure("10.1.2.3:5001", ("10.1.2.3:5000", "192.168.0.0/16"))


def test_mirrors_come_first_for_reading_and_not_at_all_for_writing() -> None:
    settings = Settings(mirrors=(("quay.io", ("https://mirror.example/quay/", "http://near.example:5000")),))
    expected = ["https://mirror.example/quay", "http://near.example:5000", "https://quay.io"]
    assert urls("quay.io", settings) == expected
    assert urls("quay.io", settings, writing=True) == ["https://quay.io"]
    assert urls("ghcr.io", settings) == ["https://ghcr.io"]


@pytest.mark.parametrize("mirror", ["ftp://mirror.example", "https://user:secret@mirror.example", "https://"])
def test_an_unusable_mirror_is_named(mirror: str) -> None:
    with pytest.raises(InvalidArgument, match=r"mirror|URL"):
        urls("docker.io", Settings(mirrors=(("docker.io", (mirror,)),)))


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "gopher://host/", "https://", "http://host:99999/", "//host/x", ""]
)
def test_only_http_urls_have_an_origin(url: str) -> None:
    with pytest.raises(InvalidArgument):
        Origin.of(url)


def test_an_origin_has_the_scheme_s_port() -> None:
    assert Origin.of("https://Host.Example/x") == ("https", "host.example", 443)
    assert Origin.of("http://host.example:80/x") == Origin.of("http://host.example")
