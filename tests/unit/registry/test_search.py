"""Searches, of a registry that answers oddly."""

from __future__ import annotations

import pytest

from lamina.errors import InvalidArgument
from lamina.registry.client import RegistryClient
from lamina.registry.search import SearchFailed, SearchResult, _split
from lamina.registry.settings import Settings
from support.fake_registry import FakeRegistry, Reply


def answer(registry: FakeRegistry, body: bytes, status: int = 200) -> list[SearchResult]:
    registry.on("GET", "/v1/search", lambda _: Reply(status, {}, body))
    with RegistryClient(Settings(attempts=1)) as client:
        return client.search(f"{registry.address}/a b", 2)


def test_what_is_asked_and_how_much_is_shown(fake_registry: FakeRegistry) -> None:
    found = answer(fake_registry, b'{"results":[{"name":"a","star_count":1},{"name":"b"},{"name":"c"}]}')
    assert found == [SearchResult("a", "", 1, False, False), SearchResult("b", "", 0, False, False)]
    assert fake_registry.asked[-1].query == {"q": "a b", "n": "2"}


def test_a_terminal_obeys_no_description(fake_registry: FakeRegistry) -> None:
    (found,) = answer(fake_registry, b'{"results":[{"name":"a\\u001b[2J","description":"x\\u001b]0;y\\u0007\\nz"}]}')
    assert (found.name, found.description) == ("a [2J", "x ]0;y  z")


@pytest.mark.parametrize(
    "body",
    [b"<html>", b"[]", b'{"results": 3}', b'{"results": ["x"]}', b"[" * 5000, b'{"results":[{"star_count":1e999}]}'],
)
def test_an_answer_that_is_none_is_an_error(fake_registry: FakeRegistry, body: bytes) -> None:
    with pytest.raises(SearchFailed, match="error decoding registry search results"):
        answer(fake_registry, body)


def test_a_refusal_is_told(fake_registry: FakeRegistry) -> None:
    with pytest.raises(SearchFailed, match="Unexpected status code 403"):
        answer(fake_registry, b"", 403)
    with pytest.raises(InvalidArgument, match=r"Limit 0 is outside the range of \[1, 100\]"):
        RegistryClient(Settings()).search("x", 0)


def test_which_registry_is_meant() -> None:
    assert _split("library/nginx") == ("docker.io", "nginx")
    assert _split("bitnami/nginx") == ("docker.io", "bitnami/nginx")
    assert _split("docker.io/library/nginx") == ("docker.io", "nginx")
    assert _split("localhost/x") == ("localhost", "x")
    assert _split("quay.io:443/a/b") == ("quay.io:443", "a/b")
