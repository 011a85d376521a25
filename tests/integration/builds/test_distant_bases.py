"""Base images that are not here: their layers come when something needs their files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from support.building import build, inspect
from support.command import Lamina
from support.registry import Registry

pytestmark = [pytest.mark.root, pytest.mark.needs("crun"), pytest.mark.needs("docker-registry")]


class Site:
    """A registry with the images ``base`` and ``tools``, which is ``base`` and a layer more; machines that know it.

    :ivar one: the machine that made them. :ivar two: a new one.
    """

    def __init__(self, server: Registry, one: Lamina, two: Lamina, context: Path) -> None:
        self.server, self.one, self.two = server, one, two
        self.base, self.tools = f"{server.address}/base:1", f"{server.address}/tools:1"
        build(one, context, "FROM busybox\nCMD true\n", "-t", self.base, "--push")
        unwanted = "RUN --network=none head -c 200000 /dev/urandom > /unwanted\nONBUILD ENV FROM_TOOLS=1\n"
        build(one, context, f"FROM {self.base}\n{unwanted}", "-t", self.tools, "--push")

    def layers(self, name: str) -> list[str]:
        """Digests of an image's compressed layers."""
        headers = {"Accept": "application/vnd.docker.distribution.manifest.v2+json"}
        body = self.server.http("GET", f"/v2/{name}/manifests/1", headers=headers)[1]
        return [layer["digest"] for layer in json.loads(body)["layers"]]

    def fetched(self, work: Callable[[], object]) -> set[str]:
        """Layers of ``tools`` that something fetched."""
        before = len(self.server.requests())
        work()
        return self.server.blobs_fetched(before) & set(self.layers("tools"))

    def images(self, lamina: Lamina) -> set[str]:
        return set(lamina("images", "--format", "{{.Repository}}:{{.Tag}}").split()) - {"<none>:<none>"}


@pytest.fixture
def site(
    built: Lamina, lamina_on: Callable[..., Lamina], registry: Callable[..., Registry], context: Path, tmp_path: Path
) -> Site:
    return Site(registry(), built, lamina_on(tmp_path / "two"), context)


def _dockerfile(site: Site, *, more: str = "") -> str:
    return (
        f"FROM {site.tools} AS tools\nRUN --network=none cat /proc/sys/kernel/random/uuid > /tool\n"
        f"FROM {site.base}\nENV A=1\nCOPY --from=tools /tool /copied\n{more}"
    )


def test_a_stage_that_is_cached_elsewhere_needs_no_layer_of_its_base(site: Site, context: Path) -> None:
    cache = f"{site.server.address}/cache"
    build(site.one, context, _dockerfile(site), "-t", "made", f"--cache-to=type=registry,ref={cache},mode=max")
    options = ("-t", "made", f"--cache-from={cache}")
    fetched = site.fetched(lambda: build(site.two, context, _dockerfile(site), *options))
    assert fetched == set(site.layers("base"))
    assert inspect(site.one, "made")["Id"] == inspect(site.two, "made")["Id"]
    assert site.images(site.two) == {"made:latest", site.base}
    assert site.two("run", "--rm", "--network=none", "made", "cat", "/copied") != ""
    assert site.two.run("system", "fsck").returncode == 0

    # What is not in the cache needs the files: the base is pulled, whole and with its name.
    more = "COPY --from=tools /unwanted /\n"
    said: list[str] = []
    fetched = site.fetched(lambda: said.append(build(site.two, context, _dockerfile(site, more=more), *options)))
    assert fetched == set(site.layers("tools")) - set(site.layers("base"))
    assert f"pulling {site.tools}" in said[0]
    assert site.images(site.two) == {"made:latest", site.base, site.tools}
    assert site.two.run("system", "fsck").returncode == 0


def test_what_is_cached_here_needs_no_base(site: Site, context: Path) -> None:
    build(site.two, context, _dockerfile(site), "-t", "made")
    made = inspect(site.two, "made")["Id"]
    site.two("rmi", site.base, site.tools)
    said: list[str] = []
    fetched = site.fetched(lambda: said.append(build(site.two, context, _dockerfile(site), "-t", "again")))
    assert (fetched, said[0].count("CACHED"), "pulling" in said[0]) == (set(), 2, False)
    assert inspect(site.two, "again")["Id"] == made
    assert site.images(site.two) == {"made:latest", "again:latest"}
    # Asked for, it is pulled anyway.
    build(site.two, context, _dockerfile(site), "--pull")
    assert {site.base, site.tools} <= site.images(site.two)
    assert site.two.run("system", "fsck").returncode == 0


def test_an_image_has_the_layers_of_its_base(
    site: Site, context: Path, tmp_path: Path, lamina_on: Callable[..., Lamina]
) -> None:
    run = "RUN --network=none echo > /made\n"
    for number, (rest, *options) in enumerate(
        (("",), ("ENV B=2\n",), ("ENV B=2\n" + run, "--squash"), (run, "--no-cache"))
    ):
        lamina = lamina_on(tmp_path / str(number))
        build(lamina, context, f"FROM {site.tools}\n{rest}", "-t", "made", *options)
        layers = inspect(lamina, "made")["RootFS"]["Layers"]
        assert layers[:2] == inspect(site.one, site.tools)["RootFS"]["Layers"]
        assert len(layers) == 2 + rest.count(run)
        assert site.images(lamina) == {"made:latest", site.tools}
        assert lamina.run("system", "fsck").returncode == 0


def test_stages_on_the_same_base_pull_it_once(site: Site, context: Path) -> None:
    run = "RUN --network=none true\n"
    said = build(
        site.two, context, f"FROM {site.tools} AS a\n{run}FROM {site.tools}\n{run}COPY --from=a /unwanted /copied\n"
    )
    assert sum(f"pulling {site.tools}" in line for line in said.splitlines()) == 1


def test_an_image_that_is_its_base_is_pulled(site: Site, context: Path) -> None:
    build(site.two, context, f"FROM {site.base}\n", "-t", "made")
    assert inspect(site.two, "made")["Id"] == inspect(site.one, site.base)["Id"]
    assert site.images(site.two) == {"made:latest", site.base}


def test_an_image_that_is_only_copied_from_stays_where_it_is(site: Site, context: Path) -> None:
    dockerfile = f"FROM scratch\nCOPY --from={site.tools} /unwanted /\n"
    build(site.two, context, dockerfile, "-t", "made")
    site.two("rmi", site.tools)
    assert site.fetched(lambda: build(site.two, context, dockerfile, "-t", "again")) == set()
    assert inspect(site.two, "made")["Id"] == inspect(site.two, "again")["Id"]
    mounted = f"FROM {site.base}\nRUN --network=none --mount=from={site.tools},target=/m cp /m/unwanted /\n"
    assert site.fetched(lambda: build(site.two, context, mounted)) == set(site.layers("tools"))


def test_a_base_whose_layer_was_tampered_with_ends_the_build(site: Site, context: Path) -> None:
    digest = site.layers("tools")[-1].removeprefix("sha256:")
    Path(site.server.storage, f"docker/registry/v2/blobs/sha256/{digest[:2]}/{digest}/data").write_bytes(b"x" * 100)
    (context / "Dockerfile").write_text(f"FROM {site.tools}\nRUN --network=none true\n")
    assert site.two.run("build", str(context)).returncode
    assert site.images(site.two) == set()
    assert site.two.run("system", "fsck").returncode == 0
