"""The same Dockerfiles built by a dockerd (its classic builder) and by lamina: history, configuration, files."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support import buildcases
from support.buildcases import Case
from support.command import Lamina
from support.dockerd import Dockerd

pytestmark = [pytest.mark.root, pytest.mark.dockerd, pytest.mark.needs("crun")]


def _files(archive: bytes) -> dict[str, tuple[Any, ...]]:
    """What ``export`` wrote, but for times and what every container gets."""
    found: dict[str, tuple[Any, ...]] = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar:
            content = b""
            if member.isreg():
                file = tar.extractfile(member)
                assert file is not None
                content = file.read()
            xattrs = {key: value for key, value in member.pax_headers.items() if key.startswith("SCHILY.xattr")}
            found[member.name] = (
                member.type,
                oct(member.mode & 0o7777),
                member.uid,
                member.gid,
                member.linkname,
                sorted(xattrs.items()),
                hashlib.sha256(content).hexdigest() if member.isreg() else "",
            )
    return found


def _difference(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    """Files that are not the same, with both."""
    return {
        name: (ours.get(name), theirs.get(name))
        for name in sorted({*ours, *theirs})
        if ours.get(name) != theirs.get(name)
    }


def _history(inspected: list[dict[str, Any]]) -> list[tuple[str, bool]]:
    return [(entry.get("created_by", ""), bool(entry.get("empty_layer"))) for entry in inspected]


def _saved_config(archive: bytes) -> dict[str, Any]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        manifest = tar.extractfile("manifest.json")
        assert manifest is not None
        config = tar.extractfile(json.load(manifest)[0]["Config"])
        assert config is not None
        document: dict[str, Any] = json.load(config)
        return document


def _lamina(lamina: Lamina, *arguments: str) -> bytes:
    return subprocess.run(
        lamina.command(*arguments), capture_output=True, env=lamina.environment, check=True, timeout=120
    ).stdout


@pytest.fixture(scope="module")
def builders(
    dockerd: Dockerd, busybox_archive: str, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Case, Path], tuple[dict[str, Any], dict[str, Any]]]:
    """Builds a case with both; configurations and files of each."""
    directory = tmp_path_factory.mktemp("builds")
    lamina = Lamina(str(directory / "root"), str(directory / "docker-config"))
    lamina("load", "--input", busybox_archive)
    dockerd.docker("load", "--input", busybox_archive)

    def build(case: Case, context: Path) -> tuple[dict[str, Any], dict[str, Any]]:
        buildcases.write(case, context)
        name = "compared"
        done = dockerd.run("build", "-t", name, *case.options, str(context))
        assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
        made = dockerd.docker("create", name, "x").strip()
        theirs = _saved_config(dockerd.run("save", name).stdout)
        theirs["files"] = _files(dockerd.run("export", made).stdout)
        dockerd.docker("rm", made)
        lamina("build", "-t", name, *case.options, str(context))
        made = lamina("create", name, "x").strip()
        ours = _saved_config(_lamina(lamina, "save", name))
        ours["files"] = _files(_lamina(lamina, "export", made))
        lamina("rm", made)
        return ours, theirs

    return build


@pytest.mark.parametrize("case", buildcases.CASES, ids=lambda case: case.name)
def test_a_build_is_dockers(case: Case, builders: Any, tmp_path: Path) -> None:
    ours, theirs = builders(case, tmp_path / "context")
    assert _history(ours["history"]) == _history(theirs["history"])
    for document in (ours, theirs):  # the image of the last step but one, which only Docker makes
        document["config"].pop("Image")
    assert ours["config"] == theirs["config"]
    assert _difference(ours["files"], theirs["files"]) == {}
    assert ours.get("author") == theirs.get("author")
    assert len(ours["rootfs"]["diff_ids"]) == len(theirs["rootfs"]["diff_ids"])
