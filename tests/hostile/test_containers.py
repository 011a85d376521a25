"""Images and containers that want out: links as mount points, working directories in /proc, user numbers, races of cp.

The cases are CVE-2019-16884, 2021-30465, 2022-23648, 2024-21626, 2024-40635, 2018-15664 and 2026-41579, and their like.
"""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support import images
from support.command import Lamina
from support.images import LayerTar, TestImage
from support.mounts import mounts_below

pytestmark = [pytest.mark.root, pytest.mark.needs("crun")]

Load = Callable[..., str]


@pytest.fixture
def load(lamina: Lamina, tmp_path: Path) -> Load:
    """``load(LAYER, config={...})``: an image of busybox with ``LAYER`` on top; its name."""

    def make(layer: LayerTar | None = None, *, config: dict[str, Any] | None = None) -> str:
        layers = [images.busybox_layer().bytes(), *([layer.bytes()] if layer else [])]
        image = TestImage(layers, config={"Cmd": ["true"], "Env": ["PATH=/bin"], **(config or {})})
        lamina("load", "-q", "-i", image.docker_archive(str(tmp_path / "image.tar"), "hostile:latest"))
        return "hostile"

    return make


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Path]:
    """A host directory that nothing may touch."""
    directory = tmp_path / "victim"
    directory.mkdir()
    (directory / "file").write_text("untouched")
    (directory / "hosts").write_text("untouched")
    yield directory
    assert sorted(os.listdir(directory)) == ["file", "hosts"]
    assert {path.read_text() for path in directory.iterdir()} == {"untouched"}


def test_a_root_whose_mount_points_are_links_runs_inside_itself(lamina: Lamina, load: Load, victim: Path) -> None:
    layer = LayerTar()
    for name in ("dev", "proc", "sys"):
        layer.symlink(name, str(victim))
    name = load(layer)
    said = lamina(
        "run", "--rm", name, "sh", "-c", "echo x > /dev/null; test -d /proc/1 && test -d /sys/kernel && ls -ld /dev"
    )
    assert said.startswith("d")
    assert mounts_below(lamina.root) == []


def test_etc_as_a_link_gets_its_files_inside(lamina: Lamina, load: Load, victim: Path) -> None:
    layer = LayerTar().whiteout("etc").symlink("etc", str(victim))
    assert lamina("run", "--rm", "-h", "me", load(layer), "sh", "-c", "cat /etc/hostname") == "me\n"


@pytest.mark.parametrize("name", ["hosts", "hostname", "resolv.conf", "mtab"])
def test_files_that_are_mounted_over_may_be_links_to_anywhere(
    lamina: Lamina, load: Load, victim: Path, name: str
) -> None:
    layer = LayerTar().symlink(f"etc/{name}", str(victim / "file"))
    lamina("run", "--rm", load(layer), "true")


def test_passwd_as_a_link_to_a_host_file_is_not_read(lamina: Lamina, load: Load, tmp_path: Path) -> None:
    host_file = tmp_path / "hostpasswd"
    host_file.write_text("intruder:x:0:0::/:/bin/sh\n")
    layer = LayerTar().symlink("etc/passwd", str(host_file))
    done = lamina.run("run", "--rm", "-u", "intruder", load(layer), "true")
    assert done.returncode == 125
    assert "unable to find user intruder: no matching entries in passwd file" in done.stderr


@pytest.mark.parametrize(
    "directory", ["/proc/self/fd/7", "/proc/self/fd/8/../../..", "/proc/1/cwd", "/link", "/link/sub"]
)
def test_a_working_directory_in_proc_is_refused(lamina: Lamina, load: Load, directory: str) -> None:
    name = load(LayerTar().symlink("link", "/proc/self/fd/7"), config={"WorkingDir": directory})
    done = lamina.run("run", "--rm", name, "true")
    normal = os.path.normpath(directory)
    if (normal.startswith("/proc/") and normal.count("/") > 1) or directory.startswith("/link"):
        assert done.returncode == 125
        assert "leads into /proc" in done.stderr
    assert lamina("ps", "-aq") == ""
    assert mounts_below(lamina.root) == []


def test_a_working_directory_that_became_a_door_between_two_starts_is_refused(lamina: Lamina, load: Load) -> None:
    script = "cd /; rmdir /work; ln -s /proc/self/fd/7 /work"
    lamina("run", "--name", "door", "-w", "/work", load(), "sh", "-c", script)
    done = lamina.run("start", "-a", "door")
    assert done.returncode == 1
    assert "leads into /proc" in done.stderr


@pytest.mark.parametrize("user", ["1000:99999999999", "4294967296", "2147483648:0", "-1", "0:4294967296"])
def test_user_numbers_that_wrap_to_root_are_refused(lamina: Lamina, load: Load, user: str) -> None:
    done = lamina.run("run", "--rm", load(config={"User": user}), "id")
    assert done.returncode == 125
    assert "uids and gids must be in range 0-2147483647" in done.stderr
    assert lamina("ps", "-aq") == ""


@pytest.mark.parametrize(
    "config",
    [
        {"Env": ["A=b\0LD_PRELOAD=x"]},
        {"Cmd": ["true\0false"]},
        {"User": "root\0"},
        {"WorkingDir": "/a\0"},
        {"Env": ["=x"]},
    ],
)
def test_nul_bytes_are_refused(lamina: Lamina, load: Load, config: dict[str, Any]) -> None:
    name = load(config=config)
    done = lamina.run("run", "--rm", name)
    assert done.returncode == 125
    assert "Traceback" not in done.stderr


def test_a_line_break_in_a_variable_is_part_of_its_value(lamina: Lamina, load: Load) -> None:
    name = load(config={"Env": ["PATH=/bin", "A=one\nB=two"]})
    assert lamina("run", "--rm", name, "sh", "-c", 'echo "$A-$B"') == "one\nB=two-\n"


@pytest.mark.parametrize("target", ["../../../victim", "/../../victim", "victim/../../x"])
def test_volumes_of_an_image_stay_in_the_container(lamina: Lamina, load: Load, tmp_path: Path, target: str) -> None:
    before = sorted(os.listdir(tmp_path))
    name = load(config={"Volumes": {target: {}}})
    lamina("run", "--rm", name, "true")
    assert sorted(set(os.listdir(tmp_path)) - {"image.tar", "root"}) == [
        entry for entry in before if entry not in ("image.tar", "root")
    ]


def test_a_volume_on_a_link_does_not_copy_the_hosts_files(lamina: Lamina, load: Load, victim: Path) -> None:
    name = load(LayerTar().symlink("data", str(victim)), config={"Volumes": {"/data": {}}})
    assert lamina("run", "--rm", name, "ls", "/data") == ""


def test_a_mount_on_a_link_lands_inside(lamina: Lamina, load: Load, victim: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "mine").write_text("")
    name = load(LayerTar().symlink("data", str(victim)))
    assert lamina("run", "--rm", "-v", f"{source}:/data/sub", name, "ls", "/data/sub") == "mine\n"


def test_labels_and_names_of_an_image_are_only_text(lamina: Lamina, load: Load, victim: Path) -> None:
    labels = {
        "io.containerd.x": "$(touch /pwned)",
        "org.systemd.property.ExecStart": "'/bin/sh'",
        "run.oci.hooks.stdout": str(victim / "file"),
    }
    lamina("run", "--rm", load(config={"Labels": labels}), "true")


# cp


def test_cp_out_follows_no_link_out(lamina: Lamina, load: Load, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("host secret")
    layer = (
        LayerTar()
        .symlink("a", str(tmp_path))
        .symlink("b", "../../../../.." + str(secret))
        .symlink("c", "/proc/self/root")
    )
    for state in ("create", "run"):
        lamina(state, *(["-d"] if state == "run" else []), "--name", state, load(layer), "sleep", "100")
        for path in ("/a/secret", "/b", "/c" + str(secret)):
            done = lamina.run("cp", "-L", f"{state}:{path}", str(tmp_path / "out"))
            assert done.returncode == 1, path
            assert not (tmp_path / "out").exists()
        lamina("rm", "-f", state)


def test_cp_in_lands_inside(lamina: Lamina, load: Load, victim: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_text("from the host")
    layer = LayerTar().symlink("dir", str(victim)).symlink("link", str(victim / "file"))
    lamina("create", "--name", "box", load(layer))
    for target in ("/dir/", "/dir/new", "/link", "/dir/../../../.." + str(victim)):
        lamina.run("cp", str(source), f"box:{target}")


def test_a_tar_for_cp_can_not_leave_its_directory(lamina: Lamina, load: Load, victim: Path) -> None:
    lamina("create", "--name", "box", load())
    for layer in (
        LayerTar().file("../../../escaped", "x"),
        LayerTar().symlink("link", str(victim)).file("link/new", "x"),
        LayerTar().hardlink("hard", "../../../../etc/passwd"),
        LayerTar().file("big", "x", uid=1 << 32),
    ):
        done = lamina.run("cp", "-", "box:/tmp", input=layer.bytes())
        assert done.returncode == 1
        assert "Traceback" not in done.stderr


def test_compressed_input_of_cp_is_read_without_any_program(lamina: Lamina, load: Load) -> None:
    import gzip

    fake = "#!/bin/sh\ntouch /pwned\n"
    layer = LayerTar()
    for program in ("unpigz", "xz", "gzip", "zstd", "bzip2"):
        layer.file(f"bin/{program}", fake, mode=0o755)
    lamina("create", "--name", "box", load(layer))
    lamina("cp", "-", "box:/tmp", input=gzip.compress(LayerTar().file("inside", "x").bytes()))
    assert lamina("diff", "box") == "C /tmp\nA /tmp/inside\n"


def test_no_user_of_a_container_comes_to_own_the_hosts_null_device(lamina: Lamina, load: Load) -> None:
    """crun makes them the owner of what they get as standard input."""
    before = os.stat(os.devnull)
    try:
        flags = ["--user", "5:6", "--health-cmd", "true", "--health-interval", "100ms"]
        lamina("run", "-d", "--name", "box", *flags, load(), "sleep", "600")
        lamina("exec", "-d", "box", "true")
        lamina("exec", "box", "true")
        while lamina("inspect", "--format", "{{.State.Health.Status}}", "box") != "healthy\n":
            time.sleep(0.1)
        after = os.stat(os.devnull)
        assert (after.st_uid, after.st_gid, after.st_mode) == (before.st_uid, before.st_gid, before.st_mode)
    finally:
        os.chown(os.devnull, before.st_uid, before.st_gid)
    lamina("rm", "-f", "box")


def test_a_part_of_a_volume_that_a_container_swaps_with_a_link(lamina: Lamina, load: Load, victim: Path) -> None:
    """Whoever has the whole volume exchanges the part that others get with a link to the host (CVE-2021-30465)."""
    name = load()
    swap = (
        f"mkdir /v/part; touch /v/part/own; ln -s {victim} /v/link; touch /v/ready; while :; do mv /v/part /v/kept; "
        "mv /v/link /v/part; mv /v/part /v/link; mv /v/kept /v/part; done"
    )
    lamina("run", "-d", "--name", "swapper", "-v", "shared:/v", name, "sh", "-c", swap)
    while lamina.run("exec", "swapper", "test", "-e", "/v/ready").returncode:
        time.sleep(0.05)
    mount = ["--mount", "src=shared,dst=/part,volume-subpath=part"]
    outcomes = set()
    for _ in range(80):
        done = lamina.run("run", "--rm", *mount, name, "sh", "-c", "ls /part; touch /part/own")
        outcomes.add(done.returncode == 0)
        assert done.stdout in ("", "own\n")
        assert "Traceback" not in done.stderr
        if done.returncode:
            assert "cannot access path" in done.stderr or "path concatenation escapes" in done.stderr
        if len(outcomes) > 1:
            break
    lamina("rm", "-f", "swapper")
    assert outcomes == {True, False}
    assert mounts_below(lamina.root) == []


def test_export_shows_no_host_file(lamina: Lamina, load: Load, victim: Path, tmp_path: Path) -> None:
    lamina("create", "--name", "box", load(LayerTar().symlink("dir", str(victim))))
    lamina("export", "-o", str(tmp_path / "out.tar"), "box")
    with tarfile.open(tmp_path / "out.tar") as tar:
        assert tar.getmember("dir").issym()
        assert "dir/file" not in tar.getnames()


# Files of the data root


def test_damaged_container_files_are_told_and_harm_no_other(lamina: Lamina, load: Load) -> None:
    name = load()
    good = lamina("create", "--name", "good", name).strip()
    bad = lamina("create", "--name", "bad", name).strip()
    for content in (b"", b"{", b"[]", b'{"ID": "other"}', b"[" * 100_000):
        Path(lamina.root, "containers", bad, "config.v2.json").write_bytes(content)
        assert lamina("ps", "-aq", "--no-trunc") == good + "\n"
        done = lamina.run("start", bad)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
    assert lamina("start", "good") == "good\n"
    lamina("wait", "good")


def test_the_runtime_leaves_no_descriptor_open_in_the_container(lamina: Lamina, load: Load) -> None:
    command = lamina.command("run", "--rm", load(), "sh", "-c", "ls -l /proc/self/fd; ls -l /proc/1/fd")
    with open("/etc/passwd", "rb") as leaked:
        os.set_inheritable(leaked.fileno(), True)
        done = subprocess.run(command, env=lamina.environment, capture_output=True, close_fds=False, check=True)
    assert b"passwd" not in done.stdout
    assert lamina.root.encode() not in done.stdout


def test_inspect_shows_hostile_texts_as_they_are(lamina: Lamina, load: Load) -> None:
    label = '"><script>\u2028\x1b[2J'
    lamina("create", "--name", "box", load(config={"Labels": {"a": label}}))
    assert json.loads(lamina("container", "inspect", "box"))[0]["Config"]["Labels"]["a"] == label
