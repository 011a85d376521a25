"""Volumes that are mounts: options of the ``local`` driver."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from lamina.linux import mount
from support.command import Lamina
from support.mounts import mounts_below

pytestmark = [pytest.mark.root, pytest.mark.needs("crun")]

TMPFS = ["--opt", "type=tmpfs", "--opt", "device=tmpfs"]


def test_a_tmpfs_is_mounted_while_a_container_uses_it(box: Lamina) -> None:
    box("volume", "create", *TMPFS, "--opt", "o=size=1m,mode=700", "memory")
    script = ["sh", "-c", "grep ' /m ' /proc/mounts && echo x > /m/x && exec sleep 600"]
    box("run", "-d", "--name", "one", "-v", "memory:/m", "busybox", *script)
    assert [path for path in mounts_below(box.root) if path.endswith("/volumes/memory/_data")]
    box("run", "--rm", "-v", "memory:/m", "busybox", "test", "-d", "/m")
    assert box("cp", "one:/m", "-")
    assert [path for path in mounts_below(box.root) if path.endswith("/volumes/memory/_data")]
    box("rm", "-f", "one")
    assert not [path for path in mounts_below(box.root) if "/volumes/" in path]
    assert box("run", "--rm", "-v", "memory:/m", "busybox", "ls", "/m") == ""
    box("volume", "rm", "memory")


def test_a_bind_survives_the_volume(box: Lamina, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("kept\n")
    box("volume", "create", "--opt", "type=none", "--opt", f"device={tmp_path}", "--opt", "o=bind", "bound")
    options = json.loads(box("volume", "inspect", "bound"))[0]["Options"]
    assert options == {"device": str(tmp_path), "o": "bind", "type": "none"}
    assert box("run", "--rm", "-v", "bound:/b", "busybox", "sh", "-c", "cat /b/kept; touch /b/new") == "kept\n"
    box("create", "--name", "stopped", "-v", "bound:/b", "busybox")
    assert "kept" in box("cp", "stopped:/b/kept", "-")
    box("rm", "stopped")
    box("volume", "create", "--opt", "type=none", "--opt", f"device={tmp_path}", "--opt", "o=bind,ro", "read-only")
    assert box.run("run", "--rm", "-v", "read-only:/b", "busybox", "touch", "/b/other").returncode == 1
    box("volume", "rm", "bound")
    assert sorted(os.listdir(tmp_path)) == ["kept", "new"]


def test_a_volume_left_mounted_is_unmounted_before_it_is_removed(box: Lamina, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("kept")
    box("volume", "create", "left")
    path = os.path.join(box.root, "volumes", "left", "_data")
    mount.bind(str(tmp_path), path)
    box("volume", "rm", "left")
    assert os.listdir(tmp_path) == ["kept"]
    assert not os.path.exists(path)


def test_mount_can_make_such_a_volume(box: Lamina) -> None:
    options = "volume-opt=type=tmpfs,volume-opt=device=tmpfs"
    mounted = box("run", "--rm", "--mount", f"src=made,dst=/v,{options}", "busybox", "grep", " /v ", "/proc/mounts")
    assert mounted.startswith("tmpfs /v tmpfs ")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["foo=bar"], 'create wrong: invalid option: "foo"'),
        (["type=tmpfs"], 'create wrong: missing required option: "device"'),
        (["device=/x"], 'create wrong: missing required option: "type"'),
    ],
)
def test_options_that_make_no_sense_are_refused(box: Lamina, options: list[str], message: str) -> None:
    done = box.run("volume", "create", *(word for option in options for word in ("--opt", option)), "wrong")
    assert (done.returncode, done.stderr) == (1, f"Error response from daemon: {message}\n")


def test_what_the_kernel_refuses_is_told_and_leaves_nothing(box: Lamina) -> None:
    box("volume", "create", "--opt", "type=nosuch", "--opt", "device=x", "odd")
    done = box.run("run", "--rm", "-v", "odd:/v", "busybox", "true")
    path = f"{box.root}/volumes/odd/_data"
    assert (
        f"error while mounting volume '{path}': failed to mount local volume: mount x:{path}: no such device"
        in done.stderr
    )
    assert done.returncode == 125
    box("volume", "rm", "odd")
