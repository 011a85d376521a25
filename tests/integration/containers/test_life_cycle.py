"""create, start, stop, kill, wait, rm, ps, logs, diff, commit, export, volumes."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest

from support.command import Lamina
from support.mounts import mounts_below

pytestmark = [pytest.mark.root, pytest.mark.needs("crun")]


def document(box: Lamina, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(box("container", "inspect", name))[0]
    return found


def test_create_then_start_attached(box: Lamina) -> None:
    box("create", "--name", "made", "busybox", "sh", "-c", "echo hi; exit 3")
    assert document(box, "made")["State"]["Status"] == "created"
    done = box.run("start", "-a", "made")
    assert (done.stdout, done.returncode) == ("hi\n", 3)
    assert document(box, "made")["State"]["Status"] == "exited"


def test_a_container_keeps_what_it_wrote_from_start_to_start(box: Lamina) -> None:
    box("run", "--name", "keeper", "busybox", "sh", "-c", "echo x >> /file; wc -l < /file")
    assert box("start", "-a", "keeper") == "2\n"
    assert box("start", "-a", "keeper") == "3\n"


def test_start_of_a_running_container_is_no_error(box: Lamina) -> None:
    box("run", "-d", "--name", "on", "busybox", "sleep", "100")
    assert box("start", "on") == "on\n"


def test_stop_asks_first_and_kills_later(box: Lamina) -> None:
    polite = "trap 'exit 4' TERM; while true; do sleep 0.1; done"
    box("run", "-d", "--name", "polite", "busybox", "sh", "-c", polite)
    box("run", "-d", "--name", "deaf", "busybox", "sleep", "100")
    assert box("stop", "-t", "1", "polite", "deaf") == "polite\ndeaf\n"
    assert document(box, "polite")["State"]["ExitCode"] == 4
    assert document(box, "deaf")["State"]["ExitCode"] == 137
    assert box("stop", "deaf") == "deaf\n"


def test_the_stop_signal_is_the_containers(box: Lamina) -> None:
    script = "trap 'exit 9' USR1; while true; do sleep 0.1; done"
    box("run", "-d", "--name", "usr", "--stop-signal", "SIGUSR1", "busybox", "sh", "-c", script)
    box("stop", "usr")
    assert document(box, "usr")["State"]["ExitCode"] == 9


def test_kill_sends_any_signal(box: Lamina) -> None:
    script = "trap 'echo hup' HUP; while true; do sleep 0.1; done"
    box("run", "-d", "--name", "target", "busybox", "sh", "-c", script)
    time.sleep(0.3)
    box("kill", "-s", "HUP", "target")
    time.sleep(0.4)
    assert box("logs", "target") == "hup\n"
    box("kill", "target")
    assert document(box, "target")["State"]["ExitCode"] == 137
    done = box.run("kill", "target")
    assert done.stderr.startswith("Error response from daemon: Cannot kill container: target: Container ")
    assert done.stderr.endswith(" is not running\n")


def test_a_running_container_that_removes_itself_is_removed_by_force_without_a_word(box: Lamina) -> None:
    box("run", "-d", "--rm", "--name", "brief", "busybox", "sleep", "60")
    done = box.run("rm", "-f", "brief")
    assert (done.returncode, done.stdout, done.stderr) == (0, "brief\n", "")
    assert box("ps", "-aq") == ""


def test_wait_prints_exit_codes_also_of_a_container_that_removes_itself(box: Lamina) -> None:
    box("run", "-d", "--rm", "--name", "brief", "busybox", "sh", "-c", "sleep 1; exit 6")
    assert box("wait", "brief") == "6\n"
    assert box("ps", "-aq") == ""


def test_rm_refuses_a_running_container(box: Lamina) -> None:
    box("run", "-d", "--name", "busy", "busybox", "sleep", "100")
    done = box.run("rm", "busy")
    container_id = document(box, "busy")["Id"]
    assert done.stderr == (
        f"Error response from daemon: You cannot remove a running container {container_id}. "
        "Stop the container before attempting removal or force remove\n"
    )
    assert box("rm", "-f", "busy") == "busy\n"
    assert mounts_below(box.root) == []


def test_containers_are_found_by_name_id_and_prefix(box: Lamina) -> None:
    full = box("create", "--name", "found", "busybox").strip()
    for text in ("found", "/found", full, full[:12], full[:4]):
        assert document(box, text)["Id"] == full
    assert box.run("stop", "nosuch").stderr == "Error response from daemon: No such container: nosuch\n"


def test_ps_shows_running_ones_or_all(box: Lamina) -> None:
    box.run("run", "--name", "done", "busybox", "sh", "-c", "exit 3")
    box("run", "-d", "--name", "on", "-l", "color=red", "busybox", "sleep", "100")
    box("create", "--name", "new", "busybox")
    assert box("ps", "--format", "{{.Names}} {{.State}}") == "on running\n"
    assert box("ps", "-a", "--format", "{{.Names}}").split() == ["new", "on", "done"]
    assert box("ps", "-n", "2", "--format", "{{.Names}}").split() == ["new", "on"]
    assert box("ps", "-l", "--format", "{{.Names}}") == "new\n"
    assert box("ps", "-q", "--no-trunc").strip() == document(box, "on")["Id"]
    for name, expected in (
        ("status=exited", "done"),
        ("exited=3", "done"),
        ("label=color=red", "on"),
        ("name=^/?new", "new"),
        ("status=created", "new"),
        ("before=on", "done"),
        ("since=on", "new"),
    ):
        assert box("ps", "-a", "--filter", name, "--format", "{{.Names}}").split() == [expected], name
    status = box("ps", "-a", "--format", "{{.Names}}:{{.Status}}").splitlines()
    assert status[0] == "new:Created"
    assert status[1].startswith("on:Up ")
    assert status[2].startswith("done:Exited (3) ")
    assert box.run("ps", "--filter", "foo=bar").stderr == "Error response from daemon: Invalid filter 'foo'\n"


def test_logs_follow_until_the_end(box: Lamina) -> None:
    box("run", "-d", "--name", "teller", "busybox", "sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.3; done")
    assert box("logs", "-f", "teller") == "1\n2\n3\n"
    assert box("logs", "--tail", "1", "teller") == "3\n"
    first = box("logs", "-t", "teller").split()[0]
    assert box("logs", "--until", first, "teller") == "1\n"
    assert box("logs", "--since", "1h", "teller") == "1\n2\n3\n"
    log = Path(document(box, "teller")["LogPath"])
    assert sorted(json.loads(log.read_text().splitlines()[0])) == ["log", "stream", "time"]
    assert log.stat().st_mode & 0o777 == 0o640


def test_logs_keep_streams_apart(box: Lamina) -> None:
    box("run", "-d", "--name", "both", "busybox", "sh", "-c", "echo out; echo err >&2")
    box("wait", "both")
    done = box.run("logs", "both")
    assert (done.stdout, done.stderr) == ("out\n", "err\n")


def test_diff_lists_what_changed(box: Lamina) -> None:
    box("run", "--name", "changed", "busybox", "sh", "-c", "echo a > /etc/new; rm /bin/vi; mkdir /dir; touch /dir/f")
    assert box("diff", "changed").splitlines() == ["C /bin", "D /bin/vi", "A /dir", "A /dir/f", "C /etc", "A /etc/new"]


def test_commit_makes_an_image_of_the_changes(box: Lamina) -> None:
    box("run", "--name", "base", "busybox", "sh", "-c", "echo committed > /file; rm /bin/vi")
    change = ("-c", "ENV A=b", "-c", 'CMD ["cat", "/file"]', "-c", "EXPOSE 80")
    made = box("commit", "-a", "me", "-m", "why", *change, "base", "made:1").strip()
    assert box("run", "--rm", "made:1") == "committed\n"
    assert box.run("run", "--rm", "made:1", "ls", "/bin/vi").returncode == 1
    image = json.loads(box("image", "inspect", "made:1"))[0]
    assert image["Id"] == made
    assert image["Metadata"]["LastTagTime"] >= image["Created"]
    assert (image["Author"], image["Comment"]) == ("me", "why")
    assert image["Config"]["ExposedPorts"] == {"80/tcp": {}}
    assert image["Config"]["Env"][-1] == "A=b"
    assert image["Parent"] == json.loads(box("image", "inspect", "busybox"))[0]["Id"]
    history = box("history", "--no-trunc", "--format", "{{.CreatedBy}}|{{.Comment}}", "made:1").splitlines()
    assert history[0] == "sh -c echo committed > /file; rm /bin/vi|why"
    box("rmi", "-f", "made:1")


def test_commit_of_a_running_container_lets_it_go_on(box: Lamina) -> None:
    box("run", "-d", "--name", "live", "busybox", "sh", "-c", "touch /file; while true; do date; sleep 0.1; done")
    time.sleep(0.3)
    made = box("commit", "live").strip()
    before = len(box("logs", "live").splitlines())
    time.sleep(0.5)
    assert len(box("logs", "live").splitlines()) > before
    box("rmi", made)


def test_commit_without_changes_adds_no_layer(box: Lamina) -> None:
    box("create", "--name", "same", "busybox")
    made = box("commit", "same").strip()
    layers = [json.loads(box("image", "inspect", name))[0]["RootFS"]["Layers"] for name in (made, "busybox")]
    assert layers[0] == layers[1]
    box("rmi", made)


@pytest.mark.parametrize("state", ["created", "running"])
def test_export_has_the_whole_file_system(box: Lamina, state: str) -> None:
    box(
        "create" if state == "created" else "run",
        *(["-d"] if state == "running" else []),
        "--name",
        "out",
        "busybox",
        "sh",
        "-c",
        "echo x > /written; sleep 100",
    )
    time.sleep(0.3)
    data = subprocess.run(box.command("export", "out"), env=box.environment, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        names = tar.getnames()
        assert tar.getmember("etc/mtab").linkname == "/proc/mounts"
    assert {"bin", "bin/busybox", "etc/passwd", ".dockerenv", "proc"} <= set(names)
    assert ("written" in names) == (state == "running")
    assert "proc/1" not in names


# Volumes and binds


def test_a_named_volume_outlives_its_containers_and_starts_with_the_images_content(box: Lamina) -> None:
    assert box("run", "--rm", "-v", "data:/etc", "busybox", "cat", "/etc/group").startswith("root:x:0:")
    box("run", "--rm", "-v", "data:/etc", "busybox", "sh", "-c", "echo mine > /etc/mine")
    assert box("run", "--rm", "-v", "data:/x", "busybox", "cat", "/x/mine") == "mine\n"
    assert sorted(os.listdir(f"{box.root}/volumes/data/_data"))[:2] == ["group", "hostname"]


def test_nocopy_leaves_a_volume_empty(box: Lamina) -> None:
    assert (
        box(
            "run",
            "--rm",
            "-v",
            "empty:/bin2:nocopy",
            "--mount",
            "source=e2,target=/var,volume-nocopy",
            "busybox",
            "ls",
            "/bin2",
            "/var",
        )
        == "/bin2:\n\n/var:\n"
    )


def test_a_volume_takes_owner_and_mode_of_what_it_covers(box: Lamina) -> None:
    assert box("run", "--rm", "-v", "scratch:/tmp", "busybox", "stat", "-c", "%a", "/tmp") == "1777\n"


def test_anonymous_volumes_go_with_rm_v_and_stay_without(box: Lamina) -> None:
    def volumes() -> list[str]:
        return [name for name in os.listdir(f"{box.root}/volumes") if len(name) == 64]

    box("run", "--name", "one", "-v", "/a", "busybox", "touch", "/a/x")
    box("run", "--name", "two", "-v", "/a", "busybox", "touch", "/a/x")
    assert len(volumes()) == 2
    box("rm", "one")
    assert len(volumes()) == 2
    box("rm", "-v", "two")
    assert len(volumes()) == 1


def test_binds_show_the_hosts_directory(box: Lamina, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("host\n")
    made = tmp_path / "made" / "here"
    script = "cat /b/file; echo new > /b/new; touch /ro/x; echo yes > /made/x"
    done = box.run(
        "run",
        "--rm",
        "-v",
        f"{tmp_path}:/b",
        "-v",
        f"{tmp_path}:/ro:ro",
        "-v",
        f"{made}:/made",
        "busybox",
        "sh",
        "-c",
        script,
    )
    assert (done.stdout, done.stderr) == ("host\n", "touch: /ro/x: Read-only file system\n")
    assert (tmp_path / "new").read_text() == "new\n"
    assert (made / "x").read_text() == "yes\n"


def test_mount_wants_an_existing_source(box: Lamina, tmp_path: Path) -> None:
    done = box.run("run", "--rm", "--mount", f"type=bind,source={tmp_path}/none,target=/x", "busybox", "true")
    assert done.returncode == 125
    assert "bind source path does not exist" in done.stderr


def test_mount_of_a_tmpfs_has_its_size(box: Lamina) -> None:
    said = box(
        "run",
        "--rm",
        "--mount",
        "type=tmpfs,target=/x,tmpfs-size=1m,tmpfs-mode=700",
        "busybox",
        "grep",
        " /x ",
        "/proc/mounts",
    )
    assert "size=1024k" in said
    assert "mode=700" in said


# Two ways to see one container


def test_inspect_has_dockers_keys(box: Lamina, dockerd: Any, busybox_archive: str) -> None:
    """Every key that docker has, with a value of the same type, and no other."""
    arguments = [
        "--name",
        "compared",
        "--network",
        "none",
        "-v",
        "vol:/vol",
        "-v",
        "/tmp:/host:ro",
        "-e",
        "A=b",
        "-l",
        "x=y",
    ]
    arguments += ["--tmpfs", "/t", "--mount", "type=tmpfs,target=/m", "-w", "/w", "busybox", "sleep", "100"]
    dockerd.run("load", "-i", busybox_archive)
    assert dockerd.run("run", "-d", *arguments).returncode == 0
    try:
        theirs = json.loads(dockerd.run("inspect", "compared").stdout)[0]
    finally:
        dockerd.run("rm", "-fv", "compared")
        dockerd.run("volume", "rm", "vol")
    box("run", "-d", *arguments)
    ours = document(box, "compared")
    assert _differences(ours, theirs) == []


def _differences(ours: Any, theirs: Any, path: str = "") -> list[str]:
    if isinstance(theirs, dict) and isinstance(ours, dict):
        found = [f"{path}.{key}: only one has it" for key in sorted(ours.keys() ^ theirs.keys())]
        for key in ours.keys() & theirs.keys():
            found += _differences(ours[key], theirs[key], f"{path}.{key}")
        return found
    if isinstance(theirs, list) and isinstance(ours, list):
        if len(ours) != len(theirs):
            return [f"{path}: {len(ours)} members, not {len(theirs)}"]
        if path == ".Mounts":
            ours, theirs = (sorted(mounts, key=lambda mount: mount["Destination"]) for mounts in (ours, theirs))
        elif path == ".HostConfig.Binds":  # docker's client does not keep their order
            ours, theirs = sorted(ours), sorted(theirs)
        pairs = enumerate(zip(ours, theirs, strict=True))
        return [line for number, (a, b) in pairs for line in _differences(a, b, f"{path}[{number}]")]
    if type(ours) is not type(theirs):
        return [f"{path}: {ours!r}, not {theirs!r}"]
    variable = (
        "Id",
        "Path",
        "Pid",
        "At",
        "Created",
        "SandboxID",
        "SandboxKey",
        "ID",
        "Dir",
        "Source",
        "[0]",
    )
    if path.endswith(variable) or path in (".Config.Hostname", ".Image") or ours == theirs:
        return []
    return [f"{path}: {ours!r}, not {theirs!r}"]


def test_a_log_of_limited_size_is_read_across_its_files(box: Lamina) -> None:
    limits = ("--log-opt", "max-size=2k", "--log-opt", "max-file=3", "--log-opt", "compress=true")
    box("run", "--name", "limited", *limits, "busybox", "sh", "-c", "seq 100")
    log = Path(document(box, "limited")["LogPath"])
    assert len(list(log.parent.glob("*-json.log*"))) == 3
    found = box("logs", "limited").split()
    assert found == [str(number) for number in range(int(found[0]), 101)]
    assert box("logs", "--tail", "2", "limited") == "99\n100\n"


def test_without_a_log_there_is_nothing_to_read(box: Lamina) -> None:
    assert box("run", "--name", "quiet", "--log-driver", "none", "busybox", "echo", "hi") == "hi\n"
    done = box.run("logs", "quiet")
    assert done.stderr == "Error response from daemon: configured logging driver does not support reading\n"
    assert done.returncode == 1
