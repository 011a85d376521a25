"""lamina on a root that a real dockerd filled by pull, the classic builder, commit and import."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from support import dockerdroot, images
from support.command import Lamina
from support.dockerd import Dockerd
from support.dockerdroot import comparable
from support.registry import Registry

pytestmark = [pytest.mark.root, pytest.mark.dockerd, pytest.mark.registry, pytest.mark.needs("crun")]

NAMES = ("layered", "built:1", "committed", "flat", "example.org:5000/team/built:stable")

#: What both are asked.
QUESTIONS = [
    ("images",),
    ("images", "-a"),
    ("images", "--digests", "--no-trunc"),
    ("images", "--filter", "dangling=true", "-q"),
    ("images", "--filter", "label=purpose=test", "--format", "{{.Repository}}:{{.Tag}} {{.ID}} {{.Size}}"),
    ("images", "--filter", "reference=*:1"),
    ("images", "layered"),
    ("images", "-aq", "--no-trunc"),
    *(("history", name) for name in NAMES),
    *(("history", "--no-trunc", name) for name in NAMES),
    *(("history", "-q", "--no-trunc", name) for name in NAMES),
    ("history", "--format", "{{.ID}} {{.CreatedAt}} {{.Size}} {{.CreatedBy}}", "--human=false", "committed"),
]


class Filled(NamedTuple):
    """A root after its dockerd has stopped.

    :ivar answers: what docker answered to :data:`QUESTIONS`.
    :ivar documents: ``docker image inspect`` by name.
    :ivar trees: what a container of each image sees, as ``find`` lists it.
    """

    root: str
    answers: dict[tuple[str, ...], str]
    documents: dict[str, str]
    trees: dict[str, str]


LIST_TREE = (
    "cd /; find . -path ./proc -prune -o -path ./sys -prune -o -path ./dev -prune -o "
    "-type f -exec stat -c '%n %a %u %g %s' {} + -o -exec stat -c '%n %a %u %g %F' {} + | sort"
)


def listing(name: str) -> list[str]:
    """Arguments of a ``run`` that lists the image's tree."""
    options = ["--rm", "--network", "none", "--user", "0", "--entrypoint", "/bin/sh", "--hostname", "h"]
    return ["run", *options, name, "-c", LIST_TREE]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    if images.busybox_path() is None:
        pytest.skip("needs busybox-static (scripts/packages.txt)")
    directory = tmp_path_factory.mktemp("filled")
    registry = Registry(str(directory / "registry")).start()
    daemon = Dockerd(str(directory / "root"))
    try:
        daemon.start()
        dockerdroot.fill(daemon, registry, images.layered_image())
        answers = {question: daemon.docker(*question) for question in QUESTIONS}
        documents = {name: daemon.docker("image", "inspect", name) for name in NAMES}
        trees = {name: daemon.docker(*listing(name)) for name in NAMES}
        daemon.stop()
        yield Filled(daemon.root, answers, documents, trees)
    finally:
        daemon.close()
        registry.stop()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def lamina(filled: Filled, lamina_on: Callable[..., Lamina]) -> Lamina:
    return lamina_on(filled.root)


@pytest.mark.parametrize("question", QUESTIONS, ids=" ".join)
def test_lists_and_histories_are_dockers(lamina: Lamina, filled: Filled, question: tuple[str, ...]) -> None:
    assert comparable(lamina(*question)) == comparable(filled.answers[question])


@pytest.mark.parametrize("name", NAMES)
def test_inspect_gives_dockers_document(lamina: Lamina, filled: Filled, name: str) -> None:
    assert json.loads(lamina("image", "inspect", name)) == json.loads(filled.documents[name])


@pytest.mark.parametrize("name", NAMES)
def test_a_container_sees_the_tree_that_dockers_container_sees(lamina: Lamina, filled: Filled, name: str) -> None:
    assert lamina(*listing(name)).splitlines() == filled.trees[name].splitlines()


def test_images_run_with_their_own_commands(lamina: Lamina) -> None:
    assert lamina("run", "--rm", "--network", "none", "built:1") == "hello from a build\n"
    assert lamina("run", "--rm", "--network", "none", "committed") == "committed\n"


def test_nothing_on_the_root_is_unaccounted_for(lamina: Lamina) -> None:
    done = lamina.run("system", "fsck")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


def test_saved_layers_have_the_digests_that_docker_gave_them(
    lamina: Lamina, lamina_on: Callable[..., Lamina], tmp_path: Path, filled: Filled
) -> None:
    archive = str(tmp_path / "saved.tar")
    lamina("save", "-o", archive, *NAMES)
    other = lamina_on(tmp_path / "other")
    other("load", "-q", "-i", archive)
    for name in NAMES:
        (document,) = json.loads(filled.documents[name])
        (loaded,) = json.loads(other("image", "inspect", name))
        assert loaded["Id"] == document["Id"]
        assert loaded["RootFS"] == document["RootFS"]


def test_docker_and_lamina_take_turns_on_one_root(
    filled: Filled, lamina_on: Callable[..., Lamina], dockerd_on: Callable[..., Dockerd], tmp_path: Path
) -> None:
    root = str(tmp_path / "root")
    subprocess.run(["cp", "-a", filled.root, root], check=True)
    lamina = lamina_on(root)
    lamina("tag", "layered", "tagged:here")
    lamina("run", "--name", "worker", "--network", "none", "layered", "sh", "-c", "echo ours > /ours; rm -r /data")
    lamina("commit", "-m", "made by lamina", "worker", "ours")
    lamina("rm", "worker")
    lamina("rmi", "flat")
    listed = lamina("images", "--no-trunc")

    daemon = dockerd_on(root)
    assert comparable(daemon.docker("images", "--no-trunc")) == comparable(listed)
    script = "cat /ours; test -e /data || echo gone"
    assert daemon.docker("run", "--rm", "--network", "none", "ours", "sh", "-c", script) == "ours\ngone\n"
    dockerfile = b"FROM ours\nRUN echo theirs > /theirs\n"
    daemon.docker("build", "--network", "none", "-t", "theirs", "-", input=dockerfile)
    daemon.docker("rmi", "committed", "tagged:here")
    history = daemon.docker("history", "--no-trunc", "theirs")
    daemon.stop()

    assert comparable(lamina("history", "--no-trunc", "theirs")) == comparable(history)
    assert lamina("run", "--rm", "--network", "none", "theirs", "sh", "-c", "cat /ours /theirs") == "ours\ntheirs\n"
    assert "committed" not in lamina("images")
    done = lamina.run("system", "fsck")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_build_cache_of_dockerds_is_left_alone(
    tmp_path: Path,
    lamina_on: Callable[..., Lamina],
    dockerd_on: Callable[..., Dockerd],
    busybox_archive: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither the check nor the removal of an image takes a layer that BuildKit still has."""
    monkeypatch.setenv("DOCKER_BUILDKIT", "1")
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM busybox\nCOPY file /file\nRUN cat /file > /copy\n")
    (context / "file").write_text("content\n")
    daemon = dockerd_on(tmp_path / "root")
    daemon.docker("load", "-i", busybox_archive)
    build = ["build", "--network", "none", "--progress", "plain", "-t", "cached:1", str(context)]
    daemon.docker(*build)
    daemon.stop()
    lamina = lamina_on(tmp_path / "root")
    assert lamina("system", "fsck") == "Nothing is wrong\n"
    lamina("rmi", "cached:1", "busybox")
    assert lamina("system", "fsck", "--repair").splitlines()[0] == "Nothing is wrong"
    daemon.start()
    daemon.docker("load", "-i", busybox_archive)
    done = daemon.run(*build)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stderr.count(b"CACHED") == 2
    assert daemon.docker("run", "--rm", "--network", "none", "cached:1", "cat", "/copy") == "content\n"
