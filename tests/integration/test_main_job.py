"""Pull, look, run, change, commit, push: the installed command, a real registry, a real runtime, overlayfs."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from typing import Any

import pytest

from support.command import Lamina
from support.images import DOCKER_MANIFEST_TYPE, MANIFEST_TYPE, TestImage
from support.mounts import mounts_below
from support.registry import Registry

pytestmark = [pytest.mark.root, pytest.mark.registry, pytest.mark.needs("crun")]

StartRegistry = Callable[..., Registry]


def inspect(lamina: Lamina, name: str, *kind: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(lamina(*kind, "inspect", name))[0]
    return document


def test_pull_gives_the_image_that_was_published(
    lamina: Lamina, registry: StartRegistry, layered_image: TestImage
) -> None:
    server = registry()
    name = server.upload(layered_image, "some/image", "1")
    said = lamina("pull", name).splitlines()
    assert said[-3:] == [
        f"Digest: {layered_image.manifest_digest}",
        f"Status: Downloaded newer image for {name}",
        name,
    ]
    document = inspect(lamina, name, "image")
    assert document["Id"] == layered_image.image_id
    assert document["RootFS"]["Layers"] == layered_image.diff_ids
    assert document["RepoDigests"] == [f"{server.address}/some/image@{layered_image.manifest_digest}"]


def test_pull_asks_only_for_missing_layers(lamina: Lamina, registry: StartRegistry, layered_image: TestImage) -> None:
    server = registry()
    base = TestImage(layered_image.layers[:2])
    lamina("pull", "-q", server.upload(base, "base"))
    name = server.upload(layered_image, "above")
    since = len(server.requests())
    assert lamina("pull", name).count("Already exists") == 2
    expected = {blob.digest for blob in layered_image.layer_blobs[2:]} | {layered_image.image_id}
    assert server.blobs_fetched(since) == expected


def test_push_of_a_changed_image_sends_one_layer(
    lamina: Lamina, registry: StartRegistry, layered_image: TestImage
) -> None:
    server = registry()
    name = server.upload(layered_image, "some/image", "1")
    lamina("pull", "-q", name)
    lamina("run", "--name", "change", "--network", "none", name, "sh", "-c", "echo more >> /data/kept")
    changed = lamina("commit", "change", f"{server.address}/some/image:2").strip()
    since = len(server.requests())
    lamina("push", "-q", f"{server.address}/some/image:2")
    sent = server.blobs_sent(since)
    assert changed in sent
    assert len(sent) == 2


def test_a_pulled_image_is_pushed_with_the_blobs_it_came_with(
    lamina: Lamina, registry: StartRegistry, layered_image: TestImage
) -> None:
    server = registry()
    name = server.upload(layered_image, "one")
    lamina("pull", "-q", name)
    copy = f"{server.address}/two:latest"
    lamina("tag", name, copy)
    since = len(server.requests())
    lamina("push", "-q", copy)
    assert server.blobs_sent(since) <= {layered_image.image_id}, "layers are mounted from the repository that has them"
    _, body = server.http(
        "GET", "/v2/two/manifests/latest", headers={"Accept": f"{MANIFEST_TYPE}, {DOCKER_MANIFEST_TYPE}"}
    )
    manifest = json.loads(body)
    assert [layer["digest"] for layer in manifest["layers"]] == [blob.digest for blob in layered_image.layer_blobs]
    assert manifest["config"]["digest"] == layered_image.image_id


def test_a_change_copies_up_and_a_deletion_is_a_device(lamina: Lamina, layered_archive: str) -> None:
    lamina("load", "-q", "-i", layered_archive)
    script = "echo more >> /data/kept; rm /data/changed"
    lamina("run", "--name", "change", "--network", "none", "layered", "sh", "-c", script)
    data = inspect(lamina, "change", "container")["GraphDriver"]["Data"]
    upper, lowers = data["UpperDir"], data["LowerDir"].split(":")
    assert lowers[0].endswith("-init/diff")
    with open(f"{upper}/data/kept") as changed, open(f"{lowers[1]}/data/kept") as original:
        assert (changed.read(), original.read()) == ("keptmore\n", "kept")
    hidden = os.lstat(f"{upper}/data/changed")
    assert stat.S_ISCHR(hidden.st_mode)
    assert hidden.st_rdev == 0
    assert set(lamina("diff", "change").splitlines()) == {"C /data", "C /data/kept", "D /data/changed"}


def test_the_merged_directory_exists_only_while_the_container_runs(lamina: Lamina, layered_archive: str) -> None:
    lamina("load", "-q", "-i", layered_archive)
    lamina("run", "-d", "--name", "sleeper", "--network", "none", "layered", "sleep", "600")
    merged = inspect(lamina, "sleeper")["GraphDriver"]["Data"]["MergedDir"]
    assert merged in mounts_below(lamina.root)
    lamina("stop", "-t", "0", "sleeper")
    assert not os.path.exists(merged)
    assert mounts_below(lamina.root) == []


def test_containers_of_one_image_share_its_layers_and_nothing_else(lamina: Lamina, layered_archive: str) -> None:
    lamina("load", "-q", "-i", layered_archive)
    for name in ("one", "two"):
        lamina("run", "--name", name, "--network", "none", "layered", "sh", "-c", f"echo {name} > /mine")
    one, two = (inspect(lamina, name)["GraphDriver"]["Data"] for name in ("one", "two"))
    assert one["LowerDir"].split(":")[1:] == two["LowerDir"].split(":")[1:]
    for data, name in ((one, "one\n"), (two, "two\n")):
        with open(f"{data['UpperDir']}/mine") as mine:
            assert mine.read() == name


def test_what_a_container_wrote_is_gone_unless_it_is_in_a_volume(lamina: Lamina, layered_archive: str) -> None:
    lamina("load", "-q", "-i", layered_archive)
    script = "echo kept > /volume/file; echo lost > /file"
    lamina("run", "--rm", "--network", "none", "-v", "named:/volume", "layered", "sh", "-c", script)
    show = "cat /volume/file; test ! -e /file"
    assert lamina("run", "--rm", "--network", "none", "-v", "named:/volume", "layered", "sh", "-c", show) == "kept\n"


def test_the_old_version_stays_beside_a_committed_one(lamina: Lamina, layered_archive: str) -> None:
    lamina("load", "-q", "-i", layered_archive)
    lamina("run", "--name", "change", "--network", "none", "layered", "sh", "-c", "echo newer > /data/changed")
    lamina("commit", "-m", "newer", "change", "layered:2")
    show = ("cat", "/data/changed")
    assert lamina("run", "--rm", "--network", "none", "layered:2", *show) == "newer\n"
    assert lamina("run", "--rm", "--network", "none", "layered", *show) == "new"
    assert lamina("history", "-q", "layered:2").split()[1] == lamina("images", "-q", "layered:latest").strip()


def test_removing_everything_leaves_nothing(
    lamina: Lamina, registry: StartRegistry, layered_image: TestImage, layered_archive: str
) -> None:
    name = registry().upload(layered_image, "some/image")
    lamina("pull", "-q", name)
    lamina("load", "-q", "-i", layered_archive)
    lamina("run", "-d", "--name", "sleeper", "--network", "none", name, "sleep", "600")
    lamina("commit", "sleeper", "committed")
    lamina("rm", "-f", "sleeper")
    lamina("rmi", name, "layered", "committed")
    lamina("system", "fsck")
    assert os.listdir(f"{lamina.root}/overlay2") == ["l"]
    store = f"{lamina.root}/image/overlay2"
    for place in (
        f"{lamina.root}/overlay2/l",
        f"{store}/layerdb/sha256",
        f"{store}/layerdb/mounts",
        f"{store}/imagedb/content/sha256",
        f"{lamina.root}/containers",
    ):
        assert os.listdir(place) == [], place
    assert mounts_below(lamina.root) == []
