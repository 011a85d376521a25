"""``--build-context``."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.buildcases import archive
from support.building import build, inspect, refused
from support.command import Lamina
from support.website import Page, Repository, Website

pytestmark = [pytest.mark.root, pytest.mark.needs("crun", "git")]


def test_directories_images_urls_and_repositories_have_names(built: Lamina, context: Path, site: Website) -> None:
    other = context.parent / "other"
    other.mkdir()
    (other / "file").write_text("local ")
    site.pages["/x.tgz"] = Page(archive({"file": b"tar "}, mode="w:gz"))
    repository = Repository(site)
    repository.commit(dir___file="git ")
    build(built, context, "FROM scratch\nCOPY <<EOF /file\nimage\nEOF\n", "-t", "some")
    out = context.parent / "out"
    build(
        built,
        context,
        "FROM scratch\nCOPY --from=local file /1\nCOPY --from=Tar file /2\nCOPY --from=git file /3\n"
        "COPY --from=picture file /4\n",
        f"--build-context=local={other}",
        f"--build-context=TAR={site.url}/x.tgz",
        f"--build-context=git={repository.url}#main:dir",
        "--build-context=picture=docker-image://some",
        f"--output={out}",
    )
    assert "".join((out / str(number)).read_text() for number in range(1, 5)) == "local tar git image\n"
    assert built.run("system", "fsck").returncode == 0
    assert not list((Path(built.root) / "lamina" / "run").iterdir())


def test_a_named_context_comes_before_a_stage_and_an_image(built: Lamina, context: Path) -> None:
    (context / "file").write_text("context")
    out = context.parent / "out"
    said = build(
        built,
        context,
        "FROM busybox AS files\nRUN false\nFROM none:latest\nCOPY --from=files file /copied\n",
        f"--build-context=files={context}",
        f"--build-context=none={context}",
        f"--output={out}",
    )
    assert "RUN false" not in said
    assert [(out / name).read_text() for name in ("copied", "file")] == ["context", "context"]


def test_an_image_of_a_layout_can_be_a_base(built: Lamina, context: Path) -> None:
    layout = context.parent / "layout"
    layout.mkdir()
    (context / "file").write_text("1")
    build(built, context, "FROM busybox\nENV MADE=yes\nCOPY file /\n", "-t", "made:v1")
    built("save", "--format", "oci", "--output", str(layout), "made:v1")
    wanted = inspect(built, "made:v1")
    built("rmi", "made:v1")
    for value in (layout, f"{layout}:v1"):
        build(built, context, "FROM base\nLABEL a=b\n", f"--build-context=base=oci-layout://{value}", "-t", "other")
        assert inspect(built, "other")["RootFS"]["Layers"] == wanted["RootFS"]["Layers"]
        assert "MADE=yes" in inspect(built, "other")["Config"]["Env"]
    assert "made" not in built("images")
    for value in (f"{layout}:v2", f"{layout}@sha256:{'0' * 64}", "/nowhere"):
        refused(built, context, "FROM base\n", f"--build-context=base=oci-layout://{value}")


def test_a_name_can_stand_for_a_stage(built: Lamina, context: Path) -> None:
    out = context.parent / "out"
    build(
        built,
        context,
        "FROM scratch AS a\nCOPY <<EOF /file\na\nEOF\nFROM base\nCOPY --from=other /file /copied\n",
        "--build-context=base=target:a",
        "--build-context=other=target:a",
        f"--output={out}",
    )
    assert [(out / name).read_text() for name in ("copied", "file")] == ["a\n", "a\n"]


def test_contexts_and_platforms_that_can_not_be_are_told(built: Lamina, context: Path) -> None:
    dockerfile = "FROM busybox\n"
    assert "no such directory" in refused(built, context, dockerfile, "--build-context=x=/nowhere")
    assert "expected key=value" in refused(built, context, dockerfile, "--build-context=x")
    assert "choose one of linux/amd64,linux/arm64" in refused(
        built, context, dockerfile, "--platform=linux/amd64,linux/arm64"
    )
