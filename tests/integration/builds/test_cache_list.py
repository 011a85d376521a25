"""What ``system df`` shows of the build cache, and what ``builder prune`` removes of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.building import build
from support.command import Lamina

pytestmark = [pytest.mark.root, pytest.mark.needs("crun")]

_DOCKERFILE = """\
FROM busybox
RUN head -c 300000 /dev/zero > /one
RUN --mount=type=cache,target=/cache head -c 200000 /dev/zero > /cache/x; head -c 400000 /dev/zero > /two
"""


@pytest.fixture
def cached(built: Lamina, context: Path) -> Lamina:
    """A root whose build cache has two steps and a cache mount, and no image that needs them."""
    build(built, context, _DOCKERFILE, "-t", "made")
    built("rmi", "made")
    return built


def _kinds(lamina: Lamina) -> list[str]:
    listed = json.loads(lamina("system", "df", "-v", "--format", "json"))["BuildCache"]
    return sorted(f"{entry['CacheType']} {entry['Size']}" for entry in listed)


def test_every_entry_is_listed(cached: Lamina) -> None:
    assert _kinds(cached) == ["exec.cachemount 200kB", "regular 300kB", "regular 400kB"]
    table = cached("system", "df", "-v").partition("Build cache usage: 900kB\n\n")[2].splitlines()
    assert table[0].split() == ["CACHE", "ID", "CACHE", "TYPE", "SIZE", "CREATED", "LAST", "USED", "USAGE", "SHARED"]
    assert len(table) == 4


@pytest.mark.parametrize(
    ("filter", "left"),
    [
        ("type=exec.cachemount", ["regular 300kB", "regular 400kB"]),
        ("description=/two", ["exec.cachemount 200kB", "regular 300kB"]),
        ("type=regular", ["exec.cachemount 200kB"]),
        ("id=nothing", ["exec.cachemount 200kB", "regular 300kB", "regular 400kB"]),
        ("until=24h", ["exec.cachemount 200kB", "regular 300kB", "regular 400kB"]),
    ],
)
def test_what_a_filter_means_is_pruned(cached: Lamina, filter: str, left: list[str]) -> None:
    cached("builder", "prune", "--all", "--force", "--filter", filter)
    assert _kinds(cached) == left
    assert cached.run("system", "fsck").returncode == 0


def test_an_entry_is_pruned_by_its_id(cached: Lamina) -> None:
    listed = json.loads(cached("system", "df", "-v", "--format", "json"))["BuildCache"]
    (id,) = (entry["ID"] for entry in listed if entry["Size"] == "300kB")
    said = cached("builder", "prune", "--force", "--filter", f"id={id}")
    assert said.splitlines()[1].startswith(id)
    assert _kinds(cached) == ["exec.cachemount 200kB", "regular 400kB"]


def test_a_filter_that_does_not_exist_is_refused_with_nothing_in_the_cache_too(built: Lamina) -> None:
    done = built.run("builder", "prune", "--force", "--filter", "color=red")
    assert done.returncode == 1
    assert 'failed to parse filter: invalid filter "color"' in done.stderr
