"""``lamina build``: where the result goes and how it is described."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.building import build, inspect, refused
from support.command import Lamina
from support.registry import Registry

pytestmark = [pytest.mark.root, pytest.mark.needs("crun")]

_DOCKERFILE = "FROM scratch\nCOPY data /data\n"


@pytest.mark.parametrize("flags", [("--push",), ("--output=type=registry",), ("--output=type=image,push=true",)])
def test_an_image_is_pushed_under_its_tags(
    built: Lamina, context: Path, registry: Callable[..., Registry], flags: tuple[str, ...]
) -> None:
    (context / "data").write_text("content")
    server = registry()
    names = [f"{server.address}/made:{tag}" for tag in ("one", "two")]
    metadata = context.parent / "metadata"
    build(built, context, _DOCKERFILE, *flags, "-t", names[0], "-t", names[1], f"--metadata-file={metadata}")
    headers, raw = server.http(
        "GET", "/v2/made/manifests/two", headers={"Accept": "application/vnd.docker.distribution.manifest.v2+json"}
    )
    said = json.loads(metadata.read_text())
    assert said["containerimage.digest"] == headers["docker-content-digest"]
    assert said["containerimage.descriptor"] == {
        "mediaType": headers["content-type"],
        "digest": headers["docker-content-digest"],
        "size": len(raw),
    }
    assert json.loads(raw)["config"]["digest"] == said["containerimage.config.digest"] == inspect(built, names[0])["Id"]
    assert said["image.name"] == ",".join(names)


def test_an_output_may_name_the_image(built: Lamina, context: Path, registry: Callable[..., Registry]) -> None:
    (context / "data").write_text("content")
    server = registry()
    name = f"{server.address}/named:1"
    build(built, context, _DOCKERFILE, f"--output=type=image,name={name},push=true")
    assert server.http("HEAD", "/v2/named/manifests/1")
    assert inspect(built, name)["RepoTags"] == [name]


def test_files_say_what_was_built(built: Lamina, context: Path) -> None:
    (context / "data").write_text("content")
    files = {name: context.parent / name for name in ("iid", "metadata")}
    build(
        built, context, _DOCKERFILE, "-t", "made", f"--iidfile={files['iid']}", f"--metadata-file={files['metadata']}"
    )
    id = inspect(built, "made")["Id"]
    assert files["iid"].read_text() == id
    assert json.loads(files["metadata"].read_text()) == {
        "containerimage.config.digest": id,
        "containerimage.digest": id,
        "image.name": "docker.io/library/made:latest",
    }


def test_a_build_that_fails_writes_no_file(built: Lamina, context: Path) -> None:
    path = context.parent / "iid"
    refused(built, context, "FROM busybox\nRUN false\n", f"--iidfile={path}", f"--metadata-file={path}")
    assert not path.exists()


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (("--push",), "tag is needed when pushing to registry"),
        (("--push", "--output=type=tar,dest=x", "-t", "made"), 'push and "tar" output can\'t be used together'),
        (("--output=type=image,push=maybe", "-t", "made"), "non-bool value 'maybe' specified for push"),
        (("--output=type=nothing",), "output type 'nothing' is not supported"),
        (("--output=type=tar,what=x",), "output option 'what' is not supported"),
    ],
)
def test_an_output_that_makes_no_sense_is_refused_before_anything_is_built(
    built: Lamina, context: Path, flags: tuple[str, ...], reason: Any
) -> None:
    said = refused(built, context, "FROM busybox\nRUN echo built\n", *flags)
    assert reason in said
    assert "RUN" not in said
