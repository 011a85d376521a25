"""Looking for repositories: the part of Docker's first registry protocol that its hub answers, ``GET /v1/search``.

Nothing but names and descriptions is read. The form is Docker's ``SearchResults`` (``registry.SearchResult`` in its
API reference).
"""

from __future__ import annotations

from urllib.parse import quote_plus

from lamina import json
from lamina.errors import InvalidArgument, Unavailable
from lamina.reference import DEFAULT_DOMAIN
from lamina.registry.endpoint import Endpoint, endpoints
from lamina.registry.errors import ConnectionFailed, printable
from lamina.registry.transport import Request, Transport
from lamina.typing import Any, NamedTuple

#: Where docker.io answers searches.
_HUB = Endpoint("https://index.docker.io", DEFAULT_DOMAIN, mirror=False, insecure=False)
_HUB_NAMES = (DEFAULT_DOMAIN, "index.docker.io")
_OFFICIAL = "library/"
_LIMITS = (1, 100)
_DOCUMENT_LIMIT = 1 << 20


class SearchFailed(Unavailable):
    """The registry does not answer as one that can be searched."""


class SearchResult(NamedTuple):
    """One repository."""

    name: str
    description: str
    stars: int
    official: bool
    automated: bool


def search(transport: Transport, term: str, limit: int) -> list[SearchResult]:
    """At most ``limit`` repositories for ``[REGISTRY/]TERM``, in the registry's order.

    :raises InvalidArgument: a limit out of range, or a URL.
    :raises SearchFailed: an answer that is none. :raises ConnectionFailed: no answer.
    """
    if not _LIMITS[0] <= limit <= _LIMITS[1]:
        raise InvalidArgument(f"Limit {limit} is outside the range of [{_LIMITS[0]}, {_LIMITS[1]}]")
    if "://" in term:
        raise InvalidArgument('Invalid repository name (ex: "registry.domain.tld/myrepos")')
    domain, words = _split(term)
    places = [_HUB] if domain == DEFAULT_DOMAIN else endpoints(domain, transport.settings, writing=True)
    for number, place in enumerate(places):
        last = number + 1 == len(places)
        request = Request("GET", f"{place.url}/v1/search?q={quote_plus(words)}&n={limit}", attempts=0 if last else 1)
        try:
            with transport.send(request) as answer:
                if answer.status != 200:
                    raise SearchFailed(f"Unexpected status code {answer.status}")
                return _results(answer.read_all(_DOCUMENT_LIMIT))[:limit]
        except ConnectionFailed:
            if last:
                raise
    raise AssertionError("unreachable: the last place returns or raises")


def _split(term: str) -> tuple[str, str]:
    """The registry's domain, and what to look for there."""
    first, slash, rest = term.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost"):
        return DEFAULT_DOMAIN, term.removeprefix(_OFFICIAL)
    if first in _HUB_NAMES:
        return DEFAULT_DOMAIN, rest.removeprefix(_OFFICIAL)
    return first, rest


def _results(raw: bytes) -> list[SearchResult]:
    try:
        document = json.loads(raw)
        return [_result(one) for one in document["results"] or ()]
    except (ValueError, ArithmeticError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise SearchFailed(f"error decoding registry search results: {error}") from None


def _result(document: dict[str, Any]) -> SearchResult:
    return SearchResult(
        printable(str(document.get("name") or "")),
        _line(str(document.get("description") or "")),
        int(document.get("star_count") or 0),
        bool(document.get("is_official")),
        bool(document.get("is_automated")),
    )


def _line(text: str) -> str:
    """``text`` on one line, and without what a terminal would obey."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
