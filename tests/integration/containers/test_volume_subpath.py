"""A part of a volume: ``volume-subpath`` of ``--mount``, as moby has it from Docker 26 on."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from lamina.linux import files
from support.command import Lamina
from support.mounts import mounts_below

pytestmark = [pytest.mark.root, pytest.mark.needs("crun")]


@pytest.fixture
def volume(box: Lamina) -> Path:
    """Directory of the volume ``parts``."""
    box("volume", "create", "parts")
    path = Path(box.root) / "volumes" / "parts" / "_data"
    (path / "subdir").mkdir()
    (path / "subdir" / "hello").write_text("world\n")
    (path / "empty").mkdir()
    (path / "file").write_text("foo\n")
    (path / "good").symlink_to("subdir")
    (path / "bad").symlink_to("/etc")
    return path


def part(subpath: str, target: str = "/v", *more: str) -> list[str]:
    return ["--mount", ",".join([f"src=parts,dst={target},volume-subpath={subpath}", *more])]


@pytest.mark.usefixtures("volume")
def test_a_container_sees_a_directory_or_a_file_of_it(box: Lamina) -> None:
    assert box("run", "--rm", *part("subdir"), "busybox", "ls", "/v") == "hello\n"
    assert box("run", "--rm", *part("good"), "busybox", "cat", "/v/hello") == "world\n"
    assert box("run", "--rm", *part("file", "/etc/some/file"), "busybox", "cat", "/etc/some/file") == "foo\n"
    assert mounts_below(box.root) == []


def test_what_is_written_is_in_the_volume(box: Lamina, volume: Path) -> None:
    box("run", "--rm", *part("subdir"), "busybox", "sh", "-c", "echo new > /v/new")
    assert (volume / "subdir" / "new").read_text() == "new\n"
    done = box.run("run", "--rm", *part("subdir", "/v", "readonly"), "busybox", "touch", "/v/other")
    assert (done.returncode, "Read-only file system" in done.stderr) == (1, True)


def test_what_is_not_there_fails_the_start(box: Lamina, volume: Path) -> None:
    done = box.run("run", "--name", "missing", *part("a/b"), "busybox", "true")
    said = f"Error response from daemon: cannot access path {volume}/a/b: lstat {volume}/a: no such file or directory"
    assert said in done.stderr
    assert done.returncode == 127
    (volume / "a" / "b").mkdir(parents=True)
    box("start", "-a", "missing")
    assert mounts_below(box.root) == []


def test_a_link_out_of_the_volume_fails_the_start(box: Lamina, volume: Path) -> None:
    done = box.run("run", "--rm", *part("bad"), "busybox", "ls", "/v")
    assert f"path concatenation escapes the base directory, base: {volume}, subpath: bad" in done.stderr
    assert (done.returncode, done.stdout) == (125, "")


@pytest.mark.usefixtures("volume")
@pytest.mark.parametrize(
    ("mount", "message"),
    [
        ("src=parts,dst=/v,volume-subpath=/etc/passwd", "subpath must be a relative path within the volume"),
        ("src=parts,dst=/v,volume-subpath=a/../../b", "subpath must be a relative path within the volume"),
        ("dst=/v,volume-subpath=a", "must not set Subpath when using anonymous volumes"),
    ],
)
def test_a_path_that_is_none_in_the_volume_is_refused(box: Lamina, mount: str, message: str) -> None:
    done = box.run("create", "--mount", mount, "busybox")
    assert f'Error response from daemon: invalid mount config for type "volume": {message}' in done.stderr
    assert done.returncode == 1


def test_an_empty_directory_gets_the_images_content(box: Lamina, volume: Path) -> None:
    box("create", *part("empty", "/bin", "volume-nocopy"), "busybox")
    assert os.listdir(volume / "empty") == []
    assert box("run", "--rm", *part("empty", "/bin"), "busybox", "echo", "ran") == "ran\n"
    assert "busybox" in os.listdir(volume / "empty")
    box("create", *part("subdir", "/bin"), "busybox")
    assert os.listdir(volume / "subdir") == ["hello"]
    done = box.run("create", *part("bad", "/bin"), "busybox")
    assert "Error response from daemon: failed to populate volume: path concatenation escapes" in done.stderr


def test_each_start_looks_again(box: Lamina, volume: Path) -> None:
    box("create", "--name", "again", *part("good"), "busybox", "ls", "/v")
    assert box("start", "-a", "again") == "hello\n"
    (volume / "good").unlink()
    (volume / "good").mkdir()
    (volume / "good" / "second").touch()
    assert box("start", "-a", "again") == "second\n"
    files.renameat2(str(volume / "good"), str(volume / "bad"), flags=files.RENAME_EXCHANGE)
    assert box.run("start", "-a", "again").returncode == 1


def test_a_restart_by_policy_looks_again(box: Lamina, volume: Path) -> None:
    script = ["sh", "-c", "test -e /v/second || { sleep 0.3; exit 1; }; exec sleep 600"]
    box("run", "-d", "--name", "policy", "--restart", "always", *part("good"), "busybox", *script)
    (volume / "good").unlink()
    (volume / "good").symlink_to("empty")
    (volume / "empty" / "second").touch()
    deadline = time.monotonic() + 20
    while "second" not in box.run("exec", "policy", "ls", "/v").stdout:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    box("rm", "-f", "policy")
    assert mounts_below(box.root) == []


def test_inspect_and_others_know_it(box: Lamina, volume: Path) -> None:
    box("create", "--name", "one", *part("subdir"), "busybox")
    document = json.loads(box("inspect", "one"))[0]
    assert document["HostConfig"]["Mounts"][0]["VolumeOptions"]["Subpath"] == "subdir"
    assert document["Mounts"][0]["Source"] == str(volume)
    assert box("run", "--rm", "--volumes-from", "one", "busybox", "ls", "/v") == "hello\n"
    assert "world" in box("cp", "one:/v/hello", "-")
    (volume / "subdir").rename(volume / "moved")
    assert "cannot access path" in box.run("cp", "one:/v/hello", "-").stderr
    assert mounts_below(box.root) == []


def test_a_volume_that_is_a_mount_has_parts_too(box: Lamina, tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "kept").touch()
    options = f"volume-opt=type=none,volume-opt=device={tmp_path},volume-opt=o=bind"
    mount = f"src=bound,dst=/v,volume-subpath=inner,{options}"
    assert box("run", "--rm", "--mount", mount, "busybox", "ls", "/v") == "kept\n"
    assert mounts_below(box.root) == []


def test_a_container_whose_monitor_died_leaves_no_mount(box: Lamina, volume: Path) -> None:
    box("run", "-d", "--name", "lost", *part("subdir"), "busybox", "sleep", "600")
    pid = int(json.loads(box("inspect", "lost"))[0]["State"]["Pid"])
    monitor = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    assert mounts_below(box.root)
    os.kill(monitor, 9)
    box("rm", "-f", "lost")
    assert mounts_below(box.root) == []
    assert os.listdir(volume / "subdir") == ["hello"]
