"""``search`` on docker and on lamina, of a registry in this process."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator

import pytest

from support.fake_registry import Asked, FakeRegistry, Reply
from support.pair import Pair

pytestmark = [pytest.mark.root, pytest.mark.dockerd]

RESULTS = [
    {"name": "few", "description": "", "star_count": 3, "is_official": False, "is_automated": False},
    {"name": "nginx", "description": "Official build.", "star_count": 90, "is_official": True, "is_automated": False},
    {
        "name": "bitnami/nginx",
        "description": "é <b> with a description\nof two lines that is longer than the column",
        "star_count": 18,
        "is_official": False,
        "is_automated": True,
    },
]
COMMANDS = """
search REGISTRY/nginx
search --no-trunc REGISTRY/nginx
search --filter stars=10 --filter is-official=false REGISTRY/nginx
search --filter is-automated=true REGISTRY/nginx
search --format '{{.Name}}|{{.Description}}|{{.StarCount}}|{{.IsOfficial}}|{{.IsAutomated}}' REGISTRY/nginx
search --format 'table {{.Name}}\\t{{.StarCount}}' REGISTRY/nginx
search --format '{{json .}}' REGISTRY/nginx
search REGISTRY/nothing
search REGISTRY/a/b
search REGISTRY/bad
search --limit 0 REGISTRY/nginx
search --limit 101 REGISTRY/nginx
search --limit x REGISTRY/nginx
search --filter stars=x REGISTRY/nginx
search --filter foo=1 REGISTRY/nginx
search --filter is-official=maybe REGISTRY/nginx
search --format '{{.Nosuch}}' REGISTRY/nginx
search http://REGISTRY/nginx
search
"""


def answer(asked: Asked) -> Reply:
    if asked.path.startswith("/v1/_ping"):
        return Reply(body=b"{}")
    if asked.query["q"] == "bad":
        return Reply(404)
    found = [] if asked.query["q"] == "nothing" else RESULTS
    document = {"num_results": len(found), "query": asked.query["q"], "results": found}
    return Reply(200, {"Content-Type": "application/json"}, json.dumps(document).encode())


@pytest.fixture
def searched() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        registry.on("GET", "/v1/", answer)
        yield registry


def test_both_find_the_same(changing: Pair, searched: FakeRegistry) -> None:
    different = []
    for line in COMMANDS.strip().splitlines():
        docker, lamina = changing.ask(*shlex.split(line.replace("REGISTRY", searched.address)))
        if docker != lamina:
            different.append(f"{line}\n  docker: {docker}\n  lamina: {lamina}")
    assert not different, "\n".join(different)
