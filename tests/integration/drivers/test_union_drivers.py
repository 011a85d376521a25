"""Images and containers on the drivers that show layers through our own union file system."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from support.command import Lamina
from support.images import LayerTar, TestImage, busybox_layer

pytestmark = [pytest.mark.root, pytest.mark.needs("crun")]

Factory = Callable[..., Lamina]

#: Deletes, replaces, changes; with fixed times, so that two runs make the same files.
_CHANGE = """
rm /data/kept /data/linked
rm -r /dir; mkdir /dir; echo new > /dir/other
echo more >> /data/changed
find /data /dir -exec touch -h -d @1000000000 {} +
touch -d @1000000000 /data /dir
"""


@pytest.fixture(params=["fuse", "aufs"])
def box(request: pytest.FixtureRequest, lamina_on: Factory, tmp_path: Path, layered_archive: str) -> Lamina:
    """A root with the layered image."""
    made = lamina_on(tmp_path / "root", "--storage-driver", request.param)
    made("load", "-i", layered_archive)
    return made


def image(box: Lamina) -> str:
    return box("images", "-q").split()[0]


def test_a_container_sees_the_images_layers_as_one(box: Lamina) -> None:
    script = "cat /data/kept /data/changed /data/linked /dir/new; echo; ls /data; ls /dir; ls -ln /private"
    said = box("run", "--rm", image(box), "sh", "-c", script).split()
    assert said[:6] == ["keptnewkeptnew", "changed", "kept", "link", "linked", "new"]
    assert (said[6], said[8], said[9]) == ("-rw-------", "1000", "1000")


def test_a_commit_has_the_same_layer_as_on_overlay2(
    box: Lamina, lamina_on: Factory, tmp_path: Path, layered_archive: str
) -> None:
    reference = lamina_on(tmp_path / "reference", "--storage-driver", "overlay2")
    reference("load", "-i", layered_archive)
    layers, changes = [], []
    for one in (box, reference):
        one("run", "--name", "changed", image(one), "sh", "-c", _CHANGE)
        changes.append(one("diff", "changed"))
        one("commit", "changed", "committed")
        layers.append(json.loads(one("inspect", "committed"))[0]["RootFS"]["Layers"])
    assert changes[0] == changes[1]
    assert "D /data/kept\n" in changes[0]
    assert layers[0] == layers[1]


def test_a_deletion_on_aufs_is_a_file_on_disk(lamina_on: Factory, tmp_path: Path, layered_archive: str) -> None:
    box = lamina_on(tmp_path / "root", "--storage-driver", "aufs")
    box("load", "-i", layered_archive)
    box("run", "--name", "one", image(box), "rm", "/data/kept")
    assert list(Path(box.root, "aufs/diff").glob("*/data/.wh.kept"))


def test_an_old_root_lists_runs_and_exports(lamina_on: Factory, tmp_path: Path, layered_archive: str) -> None:
    first = lamina_on(tmp_path / "root", "--storage-driver", "aufs")
    first("load", "-i", layered_archive)
    first("create", "--name", "old", image(first), "cat", "/data/changed")
    _as_the_kernels_aufs_left_it(Path(first.root))
    box = lamina_on(tmp_path / "root")  # no driver is named: the root's images say
    assert json.loads(box("info", "--format", "{{json .Driver}}")) == "aufs"
    assert len(box("images", "-q").split()) == 1
    assert box("ps", "-aq").strip()
    assert box("start", "-a", "old") == "new"
    box("export", "-o", f"{tmp_path}/old.tar", "old")
    names = names_in(f"{tmp_path}/old.tar")
    assert {"data/kept", "data/changed", "dir/new"} <= names
    assert not any(".wh." in name for name in names)
    assert box("system", "fsck") == "Nothing is wrong\n"


def names_in(path: str) -> set[str]:
    """What is in a tar."""
    with tarfile.open(path) as archive:
        return {name.removeprefix("./") for name in archive.getnames()}


def _as_the_kernels_aufs_left_it(root: Path) -> None:
    """Only what Docker wrote, and with AUFS's own records in each branch."""
    shutil.rmtree(root / "aufs/work", ignore_errors=True)
    for branch in (root / "aufs/diff").iterdir():
        for name in (".wh..wh.plnk", ".wh..wh.orph"):
            (branch / name).mkdir(0o700)
        os.close(os.open(branch / ".wh..wh.aufs", os.O_CREAT | os.O_WRONLY, 0o444))
        (root / "aufs/mnt" / branch.name).mkdir(0o755, exist_ok=True)


def test_an_image_of_400_layers_runs_on_fuse(lamina_on: Factory, tmp_path: Path) -> None:
    layers = [busybox_layer().bytes()]
    layers += [LayerTar().file(f"layer{number}", str(number)).bytes() for number in range(1, 400)]
    archive = TestImage(layers, config={"Cmd": ["sh"], "Env": ["PATH=/bin"]}).docker_archive(
        f"{tmp_path}/deep.tar", "deep:latest"
    )
    box = lamina_on(tmp_path / "root", "--storage-driver", "fuse-overlayfs")
    box("load", "-i", archive)
    assert box("run", "--rm", "deep", "cat", "/layer1", "/layer399") == "1399"


@pytest.mark.parametrize("running", [True, False])
def test_an_export_is_whole_though_the_container_ends_and_is_removed(
    lamina_on: Factory, tmp_path: Path, busybox_archive: str, running: bool
) -> None:
    box = lamina_on(tmp_path / "root", "--storage-driver", "fuse-overlayfs")
    box("load", "-i", busybox_archive)
    box("run", "-d", "--name", "out", "busybox", "sh", "-c", "mkdir /z; echo x > /z/last; exec sleep 100")
    box("exec", "out", "sh", "-c", "until [ -s /z/last ]; do sleep 0.01; done")
    if not running:
        box("stop", "-t", "0", "out")
    with box.start("export", "out") as exporting:
        assert exporting.stdout is not None
        data = exporting.stdout.read(1)
        box("rm", "-f", "out")
        data += exporting.stdout.read()
    assert exporting.returncode == 0
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert {"bin/busybox", "z/last"} <= set(archive.getnames())
    assert box("system", "fsck") == "Nothing is wrong\n"
