"""A real dockerd on a root that lamina filled by load, pull, import, commit and tag."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from support import images
from support.command import Lamina
from support.dockerd import Dockerd
from support.dockerdroot import comparable
from support.registry import Registry

pytestmark = [pytest.mark.root, pytest.mark.dockerd, pytest.mark.registry, pytest.mark.needs("crun")]


class Opened(NamedTuple):
    """A dockerd on a root that lamina filled with the images ``pulled``, ``loaded``, ``imported`` and ``committed``.

    :ivar pulled: the whole name of the pulled image.
    :ivar ours: what lamina answered before the dockerd was started, by question.
    :ivar theirs: what docker answered to the same right after.
    """

    daemon: Dockerd
    registry: Registry
    image: images.TestImage
    pulled: str
    ours: dict[tuple[str, ...], str]
    theirs: dict[tuple[str, ...], str]


NAMES = ("loaded", "imported", "committed", "again:later")


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    if images.busybox_path() is None:
        pytest.skip("needs busybox-static (scripts/packages.txt)")
    directory = tmp_path_factory.mktemp("opened")
    registry = Registry(str(directory / "registry")).start()
    lamina = Lamina(str(directory / "root"), str(directory / "docker-config"))
    daemon = Dockerd(lamina.root)
    try:
        pulled = fill(lamina, registry, directory)
        questions = [("images", "--digests", "--no-trunc"), ("images", "-a"), ("images", "-q")]
        for name in (*NAMES, pulled):
            questions += [("history", "--no-trunc", name), ("image", "inspect", name)]
        ours = {question: lamina(*question) for question in questions}
        daemon.start()
        theirs = {question: daemon.docker(*question) for question in questions}
        yield Opened(daemon, registry, images.layered_image(), pulled, ours, theirs)
    finally:
        daemon.close()
        registry.stop()
        shutil.rmtree(directory, ignore_errors=True)


def fill(lamina: Lamina, registry: Registry, directory: Path) -> str:
    """Fill the root; the name of the pulled image."""
    layered = images.layered_image()
    pulled = registry.upload(layered, "some/layered", "1")
    lamina("pull", "-q", pulled)
    # Shares the bottom layer with the pulled image.
    other = images.TestImage(
        [layered.layers[0], images.LayerTar().file("other", "other").bytes()], config={"Cmd": ["sh"]}
    )
    lamina("load", "-q", "-i", other.docker_archive(str(directory / "other.tar"), "loaded:latest"))
    lamina("import", "-m", "imported", "-c", "CMD sh", "-", "imported", input=layered.layers[0])
    change = (
        "echo changed > /data/kept; rm -r /dir; chown 5:6 /etc/passwd; mkdir -m 0700 /new; ln /etc/group /new/group"
    )
    lamina("run", "--name", "changer", "--network", "none", pulled, "sh", "-c", change)
    lamina("commit", "-a", "A. Author", "-m", "changed", "-c", 'CMD ["cat", "/data/kept"]', "changer", "committed")
    lamina("rm", "changer")
    lamina("tag", "committed", "again:later")
    return pulled


@pytest.fixture
def daemon(opened: Opened) -> Dockerd:
    return opened.daemon


def test_the_daemon_chose_our_driver_and_complained_about_nothing(daemon: Dockerd) -> None:
    assert daemon.docker("info", "--format", "{{.Driver}}") == "overlay2\n"
    complaints = [line for line in daemon.log().splitlines() if "level=error" in line and daemon.root in line]
    assert complaints == []


def test_lists_and_histories_are_ours(opened: Opened) -> None:
    for question, answer in opened.ours.items():
        if question[:2] != ("image", "inspect"):
            assert comparable(opened.theirs[question]) == comparable(answer), question


@pytest.mark.parametrize("name", [*NAMES, "pulled"])
def test_inspect_gives_our_document(opened: Opened, name: str) -> None:
    name = opened.pulled if name == "pulled" else name
    question = ("image", "inspect", name)
    assert json.loads(opened.theirs[question]) == json.loads(opened.ours[question])


def test_images_run(opened: Opened) -> None:
    run = ("run", "--rm", "--network", "none")
    daemon = opened.daemon
    assert daemon.docker(*run, "committed") == "changed\n"
    assert daemon.docker(*run, "loaded", "cat", "/other") == "other"
    assert daemon.docker(*run, "imported", "sh", "-c", "echo $(ls /bin/busybox)") == "/bin/busybox\n"
    script = "cat /data/changed; ls /dir; stat -c '%a %u %g' /private; test -e /data/removed || echo gone"
    assert daemon.docker(*run, opened.pulled, "sh", "-c", script) == "newnew\n600 1000 1000\ngone\n"
    script = "test -e /dir || echo gone; stat -c '%u %g' /etc/passwd; stat -c '%a' /new; stat -c '%h' /new/group"
    assert daemon.docker(*run, "committed", "sh", "-c", script) == "gone\n5 6\n700\n2\n"


def test_docker_saves_what_lamina_loads_again(opened: Opened, lamina_on: Callable[..., Lamina], tmp_path: Path) -> None:
    archive = str(tmp_path / "saved.tar")
    opened.daemon.docker("save", "-o", archive, *NAMES, opened.pulled)
    other = lamina_on(tmp_path / "other")
    other("load", "-q", "-i", archive)
    for name in (*NAMES, opened.pulled):
        (loaded,) = json.loads(other("image", "inspect", name))
        (document,) = json.loads(opened.ours["image", "inspect", name])
        assert (loaded["Id"], loaded["RootFS"]) == (document["Id"], document["RootFS"])


def test_docker_pushes_every_image(opened: Opened, lamina_on: Callable[..., Lamina], tmp_path: Path) -> None:
    for name in (*NAMES, opened.pulled):
        target = f"{opened.registry.address}/pushed/{os.path.basename(name).partition(':')[0]}:x"
        opened.daemon.docker("tag", name, target)
        opened.daemon.docker("push", target)
        opened.daemon.docker("rmi", target)
        other = lamina_on(tmp_path / "other")
        other("pull", "-q", target)
        (pulled,) = json.loads(other("image", "inspect", target))
        (document,) = json.loads(opened.ours["image", "inspect", name])
        assert pulled["Id"] == document["Id"]


def test_a_pulled_image_is_pushed_with_the_blobs_that_it_came_with(opened: Opened) -> None:
    target = f"{opened.registry.address}/some/copy:1"
    opened.daemon.docker("tag", opened.pulled, target)
    since = len(opened.registry.requests())
    opened.daemon.docker("push", target)
    opened.daemon.docker("rmi", target)
    layers = {blob.digest for blob in opened.image.layer_blobs}
    assert not layers & opened.registry.blobs_sent(since)


def test_docker_builds_commits_and_removes_on_our_layers(opened: Opened) -> None:
    daemon = opened.daemon
    daemon.docker("build", "--network", "none", "-t", "child", "-", input=b"FROM committed\nRUN echo child > /child\n")
    assert (
        daemon.docker("run", "--rm", "--network", "none", "child", "cat", "/child", "/data/kept") == "child\nchanged\n"
    )
    daemon.docker("rmi", "child")
    daemon.docker("pull", opened.pulled)
    assert "Image is up to date" in daemon.docker("pull", opened.pulled)


def test_docker_removes_our_images_completely(
    tmp_path: Path, lamina_on: Callable[..., Lamina], dockerd_on: Callable[..., Dockerd], layered_archive: str
) -> None:
    lamina = lamina_on(tmp_path / "root")
    lamina("load", "-q", "-i", layered_archive)
    daemon = dockerd_on(lamina.root)
    daemon.docker("rmi", "layered")
    daemon.stop()
    store = f"{lamina.root}/image/overlay2"
    assert os.listdir(f"{lamina.root}/overlay2") == ["l"]
    assert os.listdir(f"{lamina.root}/overlay2/l") == []
    assert os.listdir(f"{store}/layerdb/sha256") == []
    assert os.listdir(f"{store}/imagedb/content/sha256") == []
    assert lamina("images", "-q") == ""
    done = lamina.run("system", "fsck")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_stack_too_deep_for_docker_leaves_the_rest_of_the_root_usable(
    tmp_path: Path, lamina_on: Callable[..., Lamina], dockerd_on: Callable[..., Dockerd]
) -> None:
    layers = [images.busybox_layer().bytes()]
    layers += [images.LayerTar().file(f"layer{number}", str(number)).bytes() for number in range(1, 200)]
    lamina = lamina_on(tmp_path / "root")
    for count in (120, 200):
        image = images.TestImage(layers[:count], config={"Cmd": ["sh"]})
        lamina("load", "-q", "-i", image.docker_archive(str(tmp_path / "deep.tar"), f"deep:{count}"))
    run = ("run", "--rm", "--network", "none")
    assert lamina(*run, "deep:200", "sh", "-c", "ls / | grep -c layer; cat /layer199") == "199\n199"
    daemon = dockerd_on(lamina.root)
    assert daemon.docker(*run, "deep:120", "cat", "/layer119") == "119"
    assert daemon.docker("image", "inspect", "--format", "{{len .RootFS.Layers}}", "deep:200") == "200\n"
    refused = daemon.run(*run, "deep:200", "true")
    assert refused.returncode == 125
    assert b"max depth exceeded" in refused.stderr
