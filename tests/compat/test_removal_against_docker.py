"""``rmi`` and the prune verbs: what is removed, what is refused, every line and exit code as docker's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.images import LayerTar, TestImage
from support.pair import Pair
from support.registry import Registry

pytestmark = [pytest.mark.root, pytest.mark.dockerd]


def test_removal_by_id_respects_names(changing: Pair, archive: Callable[..., str]) -> None:
    changing.same("load", "-i", archive("one:1"))
    image_id = changing.lamina("images", "-q", "--no-trunc").strip()
    changing.same("tag", "one:1", "two:1")
    changing.same("rmi", image_id[7:19])
    changing.same("rmi", "-f", image_id[7:19])
    changing.same("images", "-a")
    changing.same("rmi", image_id[7:19])


def test_shared_layers_stay_until_the_last_image_goes(changing: Pair, tmp_path: Path) -> None:
    base = LayerTar().file("base", "base").bytes()
    for number in (1, 2):
        image = TestImage([base, LayerTar().file("top", str(number)).bytes()])
        changing.same("load", "-i", image.docker_archive(str(tmp_path / f"{number}.tar"), f"image:{number}"))
    changing.same("system", "df")
    changing.same("rmi", "image:1")
    changing.same("rmi", "image:2")
    changing.same("system", "df")


def test_prune_takes_what_has_no_name(changing: Pair, archive: Callable[..., str]) -> None:
    changing.same("load", "-i", archive("one:1"))
    changing.same("load", "-i", archive(content="nameless"))
    changing.same("image", "prune", input=b"n\n")
    changing.same("image", "prune", "-f", "--filter", "label=none")
    changing.same("image", "prune", "-f", "--filter", "foo=bar")
    changing.same("image", "prune", "-f", "--filter", "until=xx")
    changing.same("image", "prune", input=b"y\n")
    changing.same("image", "prune", "-f")
    changing.same("image", "prune", "-a", input=b"\n")
    changing.same("image", "prune", "-af")
    changing.same("images")


def test_system_prune_asks_and_says_what_it_did(changing: Pair, archive: Callable[..., str]) -> None:
    changing.same("load", "-i", archive("one:1"))
    for words in ("", "-a", "--volumes", "-a --volumes", "--filter label=x", "-f --volumes --filter until=1h"):
        changing.same("system", "prune", *words.split(), input=b"n\n")
    changing.same("system", "prune", "-f")
    changing.same("system", "prune", "-a", input=b"y\n")


def all_same(pair: Pair, *lines: str) -> None:
    """Ask both each line; words are parted by spaces."""
    for line in lines:
        pair.same(*line.split())


def test_a_tag_goes_and_the_image_with_the_last_one(changing: Pair, archive: Callable[..., str]) -> None:
    all_same(
        changing,
        f"load -i {archive('one:1')}",
        "tag one:1 one:2",
        "tag one:1 two",
        "tag one:1 localhost:5000/deep/er/three:v1",
        "rmi one",
        "rmi one:1 one:1",
        "rmi two:latest",
        "rmi docker.io/library/one:2",
        "images -a",
        "rmi localhost:5000/deep/er/three:v1",
        "images -a",
    )


def test_an_id_removes_one_repositorys_single_tag_only(changing: Pair, archive: Callable[..., str]) -> None:
    changing.same("load", "-i", archive("one:1"))
    id = changing.lamina("images", "-q", "--no-trunc").strip()
    all_same(
        changing,
        "tag one:1 one:2",
        f"rmi {id}",
        "rmi one:2",
        f"rmi {id[7:]}",
        "images -a",
        f"load -i {archive('one:1')}",
        "tag one:1 one:2",
        "tag one:1 two:1",
        f"rmi {id[:15]}",
        f"rmi -f {id[:15]}",
        f"rmi -f {id[:15]}",
        "images -a",
    )


def test_unknown_names_and_those_that_can_be_none(changing: Pair, archive: Callable[..., str]) -> None:
    changing.same("load", "-i", archive("one:1"))
    all_same(
        changing,
        "rmi nothing",
        "rmi -f nothing",
        "rmi nothing other/thing:2 localhost:5000/third",
        "rmi -f nothing one:9",
        "rmi UPPER",
        "rmi one:1:1",
        "rmi -f UPPER",
        "rmi sha256:abc",
        "rmi 0000",
        f"rmi {'0' * 64}",
        f"rmi sha256:{'0' * 64}",
        f"rmi one@sha256:{'0' * 64}",
        "rmi one:",
        "rmi -- -x",
        "rmi nothing one:1 UPPER",
        "images -a",
    )


def test_some_succeed_and_the_rest_is_told(changing: Pair, archive: Callable[..., str]) -> None:
    changing.same("load", "-i", archive("one:1", content="one"))
    changing.same("load", "-i", archive("two:1", content="two"))
    changing.same("load", "-i", archive("three:1", content="three"))
    all_same(changing, "rmi one:1 nothing two:1 UPPER one:1", "images", "rmi -f three:1 nothing", "images")


def test_an_ambiguous_prefix_is_none(changing: Pair, archive: Callable[..., str]) -> None:
    """Sixteen images and one more: two of them begin alike."""
    for number in range(17):
        changing.lamina("load", "-q", "-i", archive(f"many:{number}", content=str(number)))
        changing.daemon.docker("load", "-q", "-i", archive(f"many:{number}", content=str(number)))
    ids = [id[7:] for id in changing.lamina("images", "-q", "--no-trunc").split()]
    digit = next(id[0] for id in ids if sum(other[0] == id[0] for other in ids) > 1)
    all_same(changing, f"rmi {digit}", f"rmi sha256:{digit}")
    assert len(changing.lamina("images", "-q").split()) == 17


@pytest.fixture
def alike(changing: Pair) -> Iterator[Pair]:
    """Two roots, with IDs of images and containers that each side made itself taken for the same."""
    changing.mask_ids = True
    yield changing
    for side in (changing.daemon.run, changing.lamina.run):
        listed = side("ps", "-aq").stdout
        ids = (listed if isinstance(listed, str) else listed.decode()).split()
        if ids:
            side("rm", "-f", *ids)


def test_a_container_keeps_its_image(alike: Pair, busybox_archive: str) -> None:
    all_same(
        alike,
        f"load -i {busybox_archive}",
        "create --network none --name stopped busybox true",
        "rmi busybox",
        "tag busybox other:1",
        "rmi other:1",
    )
    id = alike.lamina("images", "-q", "--no-trunc").strip()
    all_same(
        alike,
        f"rmi {id}",
        "rmi -f busybox",
        "images -a",
        "rm stopped",
        f"load -i {busybox_archive}",
        "run -d --network none --name running busybox sleep 1000",
        "rmi busybox",
        f"rmi -f {id}",
        "tag busybox other:1",
        f"rmi -f {id}",
        "rmi other:1",
        "rmi -f busybox",
        "images -a",
        f"rmi -f {id}",
        "rm -f running",
        f"rmi {id}",
        "images -a",
    )


def test_children_keep_their_parents(alike: Pair, busybox_archive: str) -> None:
    all_same(
        alike,
        f"load -i {busybox_archive}",
        "run --network none --name one busybox touch /one",
        "commit one child:1",
        "run --network none --name two child:1 touch /two",
        "run --network none --rm busybox sleep 2",  # of images made in one second docker lists any first
        "commit two grandchild:1",
        "rm one two",
        "rmi busybox",
        "rmi -f busybox",
        "images -a",
    )
    id = (
        alike.lamina("images", "-q", "--no-trunc", "busybox").strip()
        or alike.lamina.run("image", "inspect", "-f", "{{.Parent}}", "child:1").stdout.strip()
    )
    all_same(
        alike,
        f"rmi {id}",
        f"rmi -f {id}",
        "rmi child:1",
        "images -a -q",
        "rmi --no-prune grandchild:1",
        "images -a -q",
        "image prune -f",
        "images -a -q",
        "image prune -af",
    )


def test_pruning_spares_what_containers_use(alike: Pair, busybox_archive: str, archive: Callable[..., str]) -> None:
    all_same(
        alike,
        f"load -i {busybox_archive}",
        f"load -i {archive('young:1', created='2024-01-01T00:00:00Z', content='young', labels={'keep': 'yes'})}",
        f"load -i {archive('old:1', created='2014-01-01T00:00:00Z', content='old')}",
        f"load -i {archive(created='2015-01-01T00:00:00Z', content='nameless')}",
        "create --network none --name user busybox true",
        "image prune -f --filter until=2014-06-01",
        "image prune -f --filter label!=none --filter until=24h",
        "image prune -af --filter label=keep=no",
        "image prune -af --filter until=2014-06-01T00:00:00",
        "image prune -af --filter label!=keep",
        "image prune -f --filter until=1h --filter until=2h",
        "image prune -f --filter dangling=maybe",
        "image prune -f --filter dangling=false",
        "image prune -af",
        "images -a",
        "system prune -f",
        "images -a",
        "system prune -af --volumes",
        "images -a",
    )


def test_digests_are_names_too(
    alike: Pair, registry: Callable[..., Registry], tmp_path: Path, archive: Callable[..., str]
) -> None:
    address = registry().address
    image = TestImage([LayerTar().file("a", "a").bytes()])
    path = image.docker_archive(str(tmp_path / "app.tar"), f"{address}/app:1")
    alike.lamina("load", "-i", path)
    alike.lamina("push", f"{address}/app:1")
    alike.lamina("rmi", f"{address}/app:1")
    for side in (alike.daemon.docker, alike.lamina):
        side("pull", "-q", f"{address}/app:1")
    digest = alike.lamina("images", "--digests", "--format", "{{.Digest}}", f"{address}/app").strip()
    id = alike.lamina("images", "-q", "--no-trunc").strip()
    all_same(
        alike,
        f"tag {address}/app:1 {address}/app:2",
        f"tag {address}/app:1 other:1",
        f"rmi {address}/app:2",
        f"rmi {address}/app@{digest}",
        f"images -a --digests {address}/app",  # docker has an image's names in no order
        "images -a --digests other",
        f"rmi {address}/app:1",
        f"rmi {id}",
        f"pull -q {address}/app:1",
        f"rmi {id[7:19]}",
        f"pull -q {address}/app@{digest}",
        "images -a --digests",
        f"tag {id} named:1",
        f"rmi {address}/app@{digest}",
        f"rmi {address}/app@{digest}",
        "rmi named:1",
        "images -a",
    )
