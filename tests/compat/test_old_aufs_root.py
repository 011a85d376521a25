"""lamina on a root as Docker and the kernel's AUFS left it: a dockerd's, with aufs's directories for overlay2's.

No kernel here has AUFS, so the layers are laid out and marked by this test, by the layout of moby's aufs driver (up to
20.10, ``daemon/graphdriver/aufs``) and ``aufs(5)``; all else is a dockerd's.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from support.command import Lamina
from support.dockerd import Dockerd

pytestmark = [pytest.mark.root, pytest.mark.dockerd, pytest.mark.needs("crun")]

_CHANGE = (
    "rm /data/kept; rm -r /dir; mkdir /dir; echo new > /dir/other; echo more >> /data/changed;"
    "ln /data/changed /data/second; find /data /dir -exec touch -h -d @1000000000 {} +"
)


_IMAGES = ("images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}} {{.Size}}")


class Old(NamedTuple):
    """What docker said before its daemon stopped, and the layers of the image that lamina then made of a container."""

    root: Path
    images: list[str]
    changes: list[str]
    layers: list[str]


@pytest.fixture
def old(
    dockerd_on: Callable[..., Dockerd], layered_archive: str, lamina_on: Callable[..., Lamina], tmp_path: Path
) -> Old:
    root = tmp_path / "old"
    daemon = dockerd_on(root)
    daemon.docker("load", "-i", layered_archive)
    daemon.docker("run", "--network", "none", "--name", "changed", "layered", "sh", "-c", _CHANGE)
    daemon.docker("create", "--network", "none", "--name", "waiting", "layered", "cat", "/data/changed")
    daemon.docker("commit", "changed", "committed")
    images = sorted(daemon.docker(*_IMAGES).split("\n"))
    changes = sorted(daemon.docker("diff", "changed").split("\n"))
    daemon.stop()
    box = lamina_on(root)
    box("commit", "changed", "reference")
    layers = json.loads(box("inspect", "reference"))[0]["RootFS"]["Layers"]
    box("rmi", "reference")
    to_aufs(root)
    return Old(root, images, changes, layers)


def to_aufs(root: Path) -> None:
    """Lay a stopped dockerd's overlay2 root out as its aufs driver would have."""
    os.rename(root / "image/overlay2", root / "image/aufs")
    for configuration in (root / "containers").glob("*/config.v2.json"):
        text = configuration.read_text()
        assert '"Driver":"overlay2"' in text
        configuration.write_text(text.replace('"Driver":"overlay2"', '"Driver":"aufs"'))
    for part in ("", "diff", "layers", "mnt"):
        (root / "aufs" / part).mkdir(0o700)
    layers = [path for path in (root / "overlay2").iterdir() if (path / "diff").is_dir() and path.name != "l"]
    for layer in layers:
        lower = layer / "lower"
        links = lower.read_text().split(":") if lower.exists() else []
        below = [Path(os.readlink(root / "overlay2" / link)).parent.name for link in links]
        (root / "aufs/layers" / layer.name).write_text("".join(f"{one}\n" for one in below))
        (root / "aufs/mnt" / layer.name).mkdir(0o755)
    for layer in layers:
        branch = root / "aufs/diff" / layer.name
        os.rename(layer / "diff", branch)
        mark(branch)
        add_records(branch)
    shutil.rmtree(root / "overlay2")
    for part in ("diff", "mnt"):  # the daemon died while it removed a layer
        (root / "aufs" / part / ("f" * 64 + "-removing")).mkdir()


def mark(branch: Path) -> None:
    """Rewrite overlayfs's marks as AUFS's."""
    for place, directories, files in os.walk(branch):
        for name in files:
            path = Path(place, name)
            status = path.lstat()
            if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
                times = os.stat(place)
                path.unlink()
                os.close(os.open(Path(place, f".wh.{name}"), os.O_CREAT | os.O_WRONLY, 0o444))
                os.utime(Path(place, f".wh.{name}"), ns=(status.st_atime_ns, status.st_mtime_ns))
                os.utime(place, ns=(times.st_atime_ns, times.st_mtime_ns))
        for name in directories:
            path = Path(place, name)
            if "trusted.overlay.opaque" in os.listxattr(path, follow_symlinks=False):
                times = os.stat(path)
                os.removexattr(path, "trusted.overlay.opaque")
                os.close(os.open(path / ".wh..wh..opq", os.O_CREAT | os.O_WRONLY, 0o444))
                os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def add_records(branch: Path) -> None:
    """AUFS's own files in the root of a branch: its mark, pseudo-links of files with several names, orphans."""
    times = branch.stat()
    os.close(os.open(branch / ".wh..wh.aufs", os.O_CREAT | os.O_WRONLY, 0o444))
    for name in (".wh..wh.plnk", ".wh..wh.orph"):
        (branch / name).mkdir(0o700)
    linked = branch / "data/second"
    if linked.exists():
        os.link(linked, branch / ".wh..wh.plnk" / f"{linked.stat().st_ino}.{linked.stat().st_ino}")
    os.utime(branch, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_an_old_root_lists_runs_commits_and_exports(old: Old, lamina_on: Callable[..., Lamina], tmp_path: Path) -> None:
    box = lamina_on(old.root)  # no driver is named: the root's images say
    assert json.loads(box("info", "--format", "{{json .Driver}}")) == "aufs"
    assert sorted(box(*_IMAGES).split("\n")) == old.images
    assert sorted(box("ps", "-a", "--format", "{{.Names}}").split()) == ["changed", "waiting"]

    assert sorted(box("diff", "changed").split("\n")) == old.changes
    assert list((old.root / "aufs/diff").glob("*/data/.wh.kept"))
    box("commit", "changed", "again")
    assert json.loads(box("inspect", "again"))[0]["RootFS"]["Layers"] == old.layers

    assert box("start", "-a", "waiting") == "new"
    assert box("run", "--rm", "committed", "cat", "/data/second", "/dir/other") == "newmore\nnew\n"
    box("export", "-o", f"{tmp_path}/changed.tar", "changed")
    with tarfile.open(tmp_path / "changed.tar") as archive:
        names = {name.removeprefix("./") for name in archive.getnames()}
    assert {"data/changed", "data/second", "dir/other"} <= names
    assert "data/kept" not in names
    assert not any(".wh." in name for name in names)

    box("system", "fsck", "--repair")
    assert box("system", "fsck") == "Nothing is wrong\n"
    assert not list((old.root / "aufs").glob("*/*-removing"))
    box("rm", "changed", "waiting")
    box("rmi", "layered", "committed", "again")
    assert os.listdir(old.root / "aufs/diff") == []
