"""Dockerfiles and contexts made to harm whoever builds them."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.command import Lamina
from support.images import busybox_image
from support.website import Page, Repository, Website, website

pytestmark = [pytest.mark.root, pytest.mark.needs("crun")]


@pytest.fixture
def built(lamina: Lamina, busybox_archive: str) -> Lamina:
    lamina("load", "--input", busybox_archive)
    return lamina


@pytest.fixture
def context(tmp_path: Path) -> Path:
    directory = tmp_path / "context"
    directory.mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("of the host")
    return directory


def refused(lamina: Lamina, context: Path, dockerfile: str, *options: str) -> str:
    """A build that must fail, and leave nothing; its message."""
    (context / "Dockerfile").write_text(dockerfile)
    before = lamina("images", "--all", "--quiet")
    done = lamina.run("build", *options, str(context))
    assert done.returncode == 1, done.stderr
    assert lamina("images", "--all", "--quiet") == before
    assert lamina.run("system", "fsck").returncode == 0
    return done.stderr


def files_of(lamina: Lamina, name: str) -> dict[str, bytes]:
    """Regular files of a container of the image ``name``."""
    made = lamina("create", name, "x").strip()
    path = f"{lamina.root}.tar"
    lamina("export", "--output", path, made)
    lamina("rm", made)
    found = {}
    with tarfile.open(path) as tar:
        for member in tar:
            file = tar.extractfile(member) if member.isreg() else None
            if file is not None:
                found[member.name] = file.read()
    return found


@pytest.mark.parametrize("target", ["../outside", "../outside/secret", "/etc", "/proc/self/root/etc/passwd"])
def test_a_link_in_the_context_does_not_lead_out_of_it(built: Lamina, context: Path, target: str) -> None:
    (context / "link").symlink_to(target)
    assert "file not found in build context" in refused(built, context, "FROM busybox\nCOPY link /stolen\n")


def test_a_link_below_a_copied_directory_stays_a_link(built: Lamina, context: Path) -> None:
    (context / "dir").mkdir()
    (context / "dir" / "link").symlink_to("../../outside/secret")
    (context / "Dockerfile").write_text("FROM busybox\nCOPY dir /dir\n")
    built("build", "-t", "made", str(context))
    assert "dir/link" not in files_of(built, "made")


def test_dots_do_not_climb_out_of_the_context(built: Lamina, context: Path) -> None:
    assert "file not found in build context" in refused(
        built, context, "FROM busybox\nCOPY ../outside/secret /stolen\n"
    )


def test_a_link_in_the_image_does_not_lead_a_copy_onto_the_host(built: Lamina, context: Path, tmp_path: Path) -> None:
    (context / "data").write_text("data")
    (context / "Dockerfile").write_text(
        f"FROM busybox\nRUN ln -s {tmp_path}/outside /door && ln -s /proc/self/root{tmp_path}/outside/secret /file\n"
        "COPY data /door/written\nCOPY data /file\n"
    )
    built.run("build", "-t", "made", str(context))
    assert os.listdir(tmp_path / "outside") == ["secret"]
    assert (tmp_path / "outside" / "secret").read_text() == "of the host"


def test_a_working_directory_behind_a_link_stays_inside(built: Lamina, context: Path, tmp_path: Path) -> None:
    (context / "Dockerfile").write_text(
        f"FROM busybox\nRUN ln -s {tmp_path}/outside /door\nWORKDIR /door/made\nRUN echo x > here\n"
    )
    built("build", str(context))
    assert os.listdir(tmp_path / "outside") == ["secret"]


def test_a_working_directory_in_proc_is_refused(built: Lamina, context: Path) -> None:
    assert "/proc" in refused(built, context, "FROM busybox\nWORKDIR /proc/self/fd/7\nRUN cat ../../../etc/shadow\n")


@pytest.mark.parametrize("number", ["0", "1", "9"])
def test_a_stage_can_not_copy_from_itself_or_a_later_one(built: Lamina, context: Path, number: str) -> None:
    said = refused(
        built, context, f"FROM busybox\nCOPY --from={number} /bin /x\nFROM busybox\nRUN true\n", "--target=0"
    )
    assert "invalid from flag value" in said


def test_stages_that_copy_from_each_other_are_refused_before_anything_is_done(built: Lamina, context: Path) -> None:
    said = refused(
        built,
        context,
        "FROM busybox AS one\nRUN echo begun\nCOPY --from=two /x /x\nFROM busybox AS two\nCOPY --from=one /x /x\n",
    )
    assert "circular" in said
    assert "begun" not in said.replace("RUN echo begun", "")


def test_triggers_do_not_trigger_triggers(built: Lamina, context: Path) -> None:
    (context / "Dockerfile").write_text("FROM busybox\nONBUILD ENV a=$a+\n")
    built("build", "-t", "again", str(context))
    (context / "Dockerfile").write_text("FROM again\nRUN echo $a > /a\n")
    for _ in range(3):
        built("build", "-t", "again", str(context))
    assert files_of(built, "again")["a"] == b"+\n"
    assert "ONBUILD" in refused(built, context, "FROM busybox\nONBUILD ONBUILD RUN true\n")


def test_a_thousand_instructions_are_no_problem(built: Lamina, context: Path) -> None:
    (context / "Dockerfile").write_text("FROM busybox\n" + "ENV x=$x.\n" * 1000)
    built("build", "-t", "many", str(context), timeout=300)
    assert f"x={'.' * 1000}" in built("image", "inspect", "--format", "{{.Config.Env}}", "many")


@pytest.mark.parametrize("name", ["../outside/secret", "/etc/passwd"])
def test_the_dockerfile_of_an_archive_is_in_the_archive(built: Lamina, name: str) -> None:
    done = built.run("build", "--file", name, "-", input=_tar([_entry("x")]))
    assert done.returncode == 1
    assert "of the host" not in done.stderr
    assert "root:" not in done.stderr


def _tar(entries: list[tarfile.TarInfo], data: bytes = b"x") -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for entry in entries:
            entry.size = len(data) if entry.isreg() else 0
            archive.addfile(entry, io.BytesIO(data) if entry.isreg() else None)
    return stream.getvalue()


def _entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, link
    return entry


@pytest.mark.parametrize("name", ["../escaped", "a/../../escaped"])
def test_an_added_archive_does_not_leave_its_directory(built: Lamina, context: Path, name: str) -> None:
    (context / "hostile.tar").write_bytes(_tar([_entry(name)]))
    assert "outside" in refused(built, context, "FROM busybox\nADD hostile.tar /dir/\n")


def test_an_added_archive_does_not_write_through_its_own_link(built: Lamina, context: Path, tmp_path: Path) -> None:
    door = _entry("door", tarfile.SYMTYPE, str(tmp_path / "outside"))
    (context / "hostile.tar").write_bytes(_tar([door, _entry("door/written")]))
    (context / "Dockerfile").write_text("FROM busybox\nADD hostile.tar /dir/\n")
    built.run("build", str(context))
    assert os.listdir(tmp_path / "outside") == ["secret"]


def test_a_context_on_standard_input_does_not_leave_its_directory(built: Lamina, tmp_path: Path) -> None:
    stream = _tar([_entry("Dockerfile"), _entry("../escaped")], b"FROM busybox\n")
    done = built.run("build", "-", input=stream)
    assert done.returncode == 1
    assert not list(Path(built.root).rglob("escaped"))
    assert not os.listdir(f"{built.root}/lamina/run")


def test_a_context_whose_dockerfile_is_a_link_to_the_host_is_refused(built: Lamina) -> None:
    done = built.run("build", "-", input=_tar([_entry("Dockerfile", tarfile.SYMTYPE, "/etc/passwd")]))
    assert done.returncode == 1
    assert "root:" not in done.stderr


@pytest.mark.parametrize(
    "dockerfile",
    [b"FROM busybox\nRUN <<EOF\n" + b"echo x\n" * 100_000, b"FROM busybox\nRUN " + b"x" * (20 << 20)],
    ids=["endless heredoc", "endless line"],
)
def test_a_huge_dockerfile_is_refused_soon(built: Lamina, dockerfile: bytes) -> None:
    done = built.run("build", "-", input=dockerfile, timeout=60)
    assert done.returncode == 1
    assert len(done.stderr) < 10_000


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Website]:
    (tmp_path / "repositories").mkdir()
    with website(tmp_path / "repositories") as served:
        yield served


def test_a_git_reference_is_no_option(built: Lamina, context: Path, site: Website, tmp_path: Path) -> None:
    """CVE-2019-13139: ``git fetch origin --upload-pack=...`` runs a command."""
    repository = Repository(site)
    repository.commit(file="1")
    said = refused(
        built, context, f'FROM busybox\nADD ["{repository.url}#--upload-pack=touch {tmp_path}/outside/x;", "/to"]\n'
    )
    assert "invalid refspec" in said
    assert os.listdir(tmp_path / "outside") == ["secret"]


def test_a_submodule_can_not_be_a_repository_of_the_host(
    built: Lamina, context: Path, site: Website, tmp_path: Path
) -> None:
    """CVE-2022-39253: whoever writes ``.gitmodules`` would read any repository on this machine."""
    inner = Repository(site, "inner")
    inner.commit(file="of the host")
    outer = Repository(site, "outer")
    outer.git("submodule", "--quiet", "add", str(inner.work), "sub")
    outer.commit()
    assert "transport 'file' not allowed" in refused(built, context, f"FROM busybox\nADD {outer.url} /to\n")


def test_hooks_filters_and_helpers_of_a_repository_do_not_run(
    built: Lamina, context: Path, site: Website, tmp_path: Path
) -> None:
    marker = tmp_path / "outside" / "ran"
    repository = Repository(site)
    files = {"file": "1", "__gitattributes": "* filter=evil\n", "hooks___post-checkout": f"#!/bin/sh\ntouch {marker}\n"}
    repository.commit(**files)
    (context / "Dockerfile").write_text(f"FROM busybox\nADD {repository.url} /to\n")
    built("build", "-t", "made", str(context))
    refused(built, context, f'FROM busybox\nADD ["ext::sh -c touch% {marker}", "/x"]\n')
    assert not marker.exists()


def test_a_link_in_a_repository_does_not_lead_out_of_it(
    built: Lamina, context: Path, site: Website, tmp_path: Path
) -> None:
    repository = Repository(site)
    (repository.work / "door").symlink_to(tmp_path / "outside")
    repository.commit()
    refused(built, context, f"FROM busybox\nADD {repository.url}#main:door /to\n")
    refused(built, context, f"FROM busybox\nADD {repository.url}#main:../repo.git /to\n")


def test_a_downloads_name_does_not_leave_its_directory(built: Lamina, context: Path, site: Website) -> None:
    for name in ("../../../evil", "/evil", "..", "a/../../evil"):
        site.pages["/"] = Page(b"x", headers=(("Content-Disposition", f'attachment; filename="{name}"'),))
        (context / "Dockerfile").write_text(f"FROM busybox\nADD {site.url}/ /to/\n")
        built.run("build", str(context))
    assert not [
        path for path in Path(built.root).rglob("evil") if "/content/" not in str(path) and "/to/" not in str(path)
    ]


def test_a_secret_is_in_no_layer_no_history_and_no_cache(built: Lamina, context: Path, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("correct-horse-battery")
    (context / "Dockerfile").write_text("FROM busybox\nRUN --mount=type=secret,id=p wc -c < /run/secrets/p > /length\n")
    built("build", "-t", "made", "--secret", f"id=p,src={tmp_path}/password", str(context))
    assert files_of(built, "made")["length"].strip() == b"21"
    for path in Path(built.root).rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert b"correct-horse-battery" not in path.read_bytes()


def test_a_cache_mount_can_not_name_a_directory_of_the_host(built: Lamina, context: Path, tmp_path: Path) -> None:
    (context / "Dockerfile").write_text(
        f"FROM busybox\nRUN --mount=type=cache,id=../../../../..{tmp_path}/outside,target=/c ls /c > /seen\n"
    )
    built("build", "-t", "made", str(context))
    assert files_of(built, "made")["seen"] == b""


def test_a_loaded_image_does_not_poison_the_cache(built: Lamina, context: Path) -> None:
    """CVE-2024-24557: an image that claims to have been made by the same instructions, but was not."""
    (context / "Dockerfile").write_text("FROM busybox\nHEALTHCHECK CMD true\nRUN echo good > /made\n")
    built("build", "-t", "honest", str(context))
    archive = context / "honest.tar"
    built("save", "--output", str(archive), "honest")
    built("rmi", "honest")
    built("builder", "prune", "--all", "--force")
    built("load", "--input", _poisoned(archive, context / "poisoned.tar"))
    built("build", "-t", "made", str(context))
    assert files_of(built, "made")["made"] == b"good\n"


def _poisoned(source: Path, target: Path) -> str:
    """The archive with another file in the top layer and the same history."""
    with tarfile.open(source) as tar:
        members = {member.name: tar.extractfile(member) for member in tar if member.isreg()}
        data = {name: file.read() for name, file in members.items() if file is not None}
    manifest = json.loads(data["manifest.json"])
    top = manifest[0]["Layers"][-1]
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as layer:
        entry = tarfile.TarInfo("made")
        entry.size = 5
        layer.addfile(entry, io.BytesIO(b"evil\n"))
    config = json.loads(data[manifest[0]["Config"]])
    config["rootfs"]["diff_ids"][-1] = "sha256:" + hashlib.sha256(stream.getvalue()).hexdigest()
    data[top] = stream.getvalue()
    raw = json.dumps(config).encode()
    name = hashlib.sha256(raw).hexdigest() + ".json"
    data[name] = raw
    manifest[0]["Config"] = name
    data["manifest.json"] = json.dumps(manifest).encode()
    with tarfile.open(target, "w") as tar:
        for member, content in data.items():
            entry = tarfile.TarInfo(member)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return str(target)


def test_an_image_whose_dev_is_a_link_does_not_reach_the_host(lamina: Lamina, context: Path, tmp_path: Path) -> None:
    image = busybox_image()
    lamina("load", "--input", image.docker_archive(str(tmp_path / "busybox.tar"), "busybox:latest"))
    (context / "Dockerfile").write_text(
        f"FROM busybox\nRUN rm -rf /etc && ln -s {tmp_path}/outside /etc; ls -la / > /listing\nRUN echo x > /done\n"
    )
    lamina.run("build", "-t", "made", str(context))
    assert os.listdir(tmp_path / "outside") == ["secret"]
