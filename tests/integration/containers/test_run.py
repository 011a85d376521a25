"""``run``: what the container is, what the caller gets, and what is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lamina import Engine
from lamina.container import frames
from lamina.container.attachment import MonitorLost
from support.command import Lamina
from support.mounts import mounts_below
from support.processes import wait_until

pytestmark = [pytest.mark.root, pytest.mark.needs("crun")]


def document(box: Lamina, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(box("container", "inspect", name))[0]
    return found


def wait_for(condition: Any, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


# What the caller gets


def test_the_root_may_have_any_name(lamina_on: Callable[[str], Lamina], tmp_path: Path, busybox_archive: str) -> None:
    box = lamina_on(str(tmp_path / 'co:lon, 100%s\\\n "quoted" ü'))
    box("load", "-i", busybox_archive)
    assert box("run", "--rm", "--network", "none", "-v", "volume:/data", "busybox", "echo", "out") == "out\n"
    assert box("run", "--name", "kept", "--network", "none", "busybox", "touch", "/made") == ""
    assert box("diff", "kept") == "A /made\n"
    box("rm", "kept")
    assert box("system", "fsck") == "Nothing is wrong\n"


def test_output_errors_and_the_exit_code_come_back(box: Lamina) -> None:
    done = box.run("run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 7)


def test_a_program_that_a_signal_ends_gives_128_and_its_number(box: Lamina) -> None:
    # The first process of a pid namespace gets no deadly signal from itself.
    assert box.run("run", "--rm", "busybox", "sh", "-c", "sh -c 'kill -9 $$'; exit $?").returncode == 137


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        ("nosuch", 127, 'exec: "nosuch": executable file not found in $PATH: unknown.'),
        ("/nosuch", 127, 'exec: "/nosuch": stat /nosuch: no such file or directory: unknown.'),
        ("/etc/passwd", 126, 'exec: "/etc/passwd": permission denied: unknown.'),
        ("/etc", 126, 'exec: "/etc": permission denied: unknown.'),
    ],
)
def test_what_can_not_be_executed_is_127_or_126(box: Lamina, command: str, code: int, words: str) -> None:
    done = box.run("run", "--rm", "busybox", command)
    assert done.returncode == code
    assert done.stdout == ""
    assert done.stderr.startswith("lamina: Error response from daemon: failed to create shim task: OCI runtime create")
    assert words in done.stderr
    assert box("ps", "-aq") == ""


def test_a_container_that_could_not_start_is_created_with_the_reason(box: Lamina) -> None:
    box.run("run", "--name", "broken", "busybox", "nosuch")
    state = document(box, "broken")["State"]
    assert (state["Status"], state["ExitCode"]) == ("created", 127)
    assert "executable file not found" in state["Error"]


def test_no_byte_is_lost_however_much_and_fast(box: Lamina) -> None:
    done = subprocess.run(
        box.command("run", "--rm", "busybox", "dd", "if=/dev/zero", "bs=1000003", "count=20"),
        env=box.environment,
        capture_output=True,
        check=True,
    )
    assert len(done.stdout) == 20 * 1000003


def test_a_slow_reader_loses_nothing(box: Lamina) -> None:
    with box.start("run", "--rm", "busybox", "sh", "-c", "dd if=/dev/zero bs=100000 count=30 2>/dev/null") as run:
        time.sleep(1)
        assert run.stdout is not None
        assert len(run.stdout.read()) == 3_000_000
        assert run.wait(30) == 0


def test_input_reaches_the_container_to_its_last_byte(box: Lamina) -> None:
    data = os.urandom(5 << 20)  # more than all buffers on the way hold
    done = subprocess.run(
        box.command("run", "--rm", "-i", "busybox", "cat"),
        env=box.environment,
        input=data,
        capture_output=True,
        check=True,
    )
    assert done.stdout == data


def test_without_i_there_is_no_input(box: Lamina) -> None:
    assert box("run", "--rm", "busybox", "cat", input="ignored") == ""


def test_a_container_that_does_not_read_its_input_can_end(box: Lamina) -> None:
    assert box.run("run", "--rm", "-i", "busybox", "true", input=b"x" * (1 << 20)).returncode == 0


def test_signals_are_passed_on(box: Lamina) -> None:
    script = "trap 'echo got it; exit 3' TERM; echo ready; while true; do sleep 0.1; done"
    with box.start("run", "--rm", "busybox", "sh", "-c", script) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == b"ready\n"
        run.send_signal(signal.SIGTERM)
        assert run.stdout.read() == b"got it\n"
        assert run.wait(30) == 3


def test_a_terminal_is_one(box: Lamina) -> None:
    assert box("run", "--rm", "-t", "busybox", "sh", "-c", "test -t 0 && test -t 1 && echo $TERM") == "xterm\r\n"


def test_a_terminal_wants_a_terminal(box: Lamina) -> None:
    done = box.run("run", "--rm", "-it", "busybox", "true")
    assert (done.returncode, done.stderr) == (1, "the input device is not a TTY\n")


# What the container is


def test_it_is_isolated_as_dockers_are(box: Lamina) -> None:
    script = "cat /proc/self/status /proc/self/cgroup; hostname; ls /sys/class/net; cat /proc/mounts"
    said = box("run", "--rm", "--network", "none", "--name", "isolated", "-h", "here", "busybox", "sh", "-c", script)
    lines = said.splitlines()
    assert "CapEff:\t00000000a80425fb" in lines
    assert "CapBnd:\t00000000a80425fb" in lines
    assert "Seccomp:\t2" in lines
    assert "here" in lines
    assert any(line.startswith(("tmpfs /proc/acpi", "tmpfs /proc/keys")) for line in lines)
    assert any(line.startswith("proc /proc/sys proc ro,") for line in lines)
    assert "eth0" not in lines


def test_the_host_network_is_the_hosts(box: Lamina) -> None:
    script = "hostname; cat /etc/hostname; busybox readlink /proc/self/ns/net"
    name, file_name, namespace = box("run", "--rm", "--network", "host", "busybox", "sh", "-c", script).split()
    assert name == file_name == os.uname().nodename
    assert namespace == os.readlink("/proc/self/ns/net")


def test_other_networks_are_refused(box: Lamina) -> None:
    done = box.run("run", "--rm", "--network", "nosuch", "busybox", "true")
    assert done.returncode == 125
    assert "network nosuch not found" in done.stderr


def test_environment_comes_from_flags_files_and_the_image(box: Lamina, tmp_path: Path) -> None:
    (tmp_path / "env").write_text("# comment\nFROM_FILE=1\n\nINHERITED\nUNSET_ANYWHERE\n")
    arguments = ("-e", "A=b c", "-e", "ALSO", "--env-file", str(tmp_path / "env"), "-h", "box")
    said = box("run", "--rm", *arguments, "busybox", "env", env={"INHERITED": "yes", "ALSO": "too"})
    assert sorted(said.splitlines()) == sorted(
        [
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOSTNAME=box",
            "FROM_FILE=1",
            "INHERITED=yes",
            "A=b c",
            "ALSO=too",
            "HOME=/root",
        ]
    )


@pytest.mark.parametrize(
    ("user", "expected"),
    [("nobody", "uid=65534(nobody) gid=65534(nogroup)"), ("5", "uid=5 gid=0(root)"), ("7:8", "uid=7 gid=8")],
)
def test_user(box: Lamina, user: str, expected: str) -> None:
    assert box("run", "--rm", "-u", user, "busybox", "id").startswith(expected)


def test_working_directory_is_made(box: Lamina) -> None:
    assert box("run", "--rm", "-w", "/new/dir", "busybox", "pwd") == "/new/dir\n"


def test_entrypoint_replaces_the_images(box: Lamina) -> None:
    assert box("run", "--rm", "--entrypoint", "echo", "busybox", "a", "b") == "a b\n"


def test_read_only_root_with_a_tmpfs(box: Lamina) -> None:
    script = "touch /x; touch /t/x && grep -c ' /t tmpfs rw' /proc/mounts"
    done = box.run("run", "--rm", "--read-only", "--tmpfs", "/t:size=1m", "busybox", "sh", "-c", script)
    assert (done.stdout, done.stderr) == ("1\n", "touch: /x: Read-only file system\n")


def test_the_hosts_files_of_a_container_can_be_written(box: Lamina) -> None:
    script = "echo 10.0.0.1 other >> /etc/hosts; cat /etc/hosts; cat /etc/hostname; test -s /etc/resolv.conf"
    said = box("run", "--rm", "-h", "me", "busybox", "sh", "-c", script)
    assert said.startswith("127.0.0.1\tlocalhost\n")
    assert said.endswith("10.0.0.1 other\nme\n")


# What is left


def test_nothing_is_left_after_rm(box: Lamina) -> None:
    def everything() -> set[str]:
        places = ("containers", "overlay2", "overlay2/l", "image/overlay2/layerdb/mounts", "volumes", "lamina/run")
        return {f"{place}/{name}" for place in places for name in os.listdir(f"{box.root}/{place}")}

    box("run", "--rm", "busybox", "true")
    busy = ("lamina/run", "lamina/journal", "lamina/trash")  # until all of it is gone
    wait_until(lambda: not any(os.listdir(f"{box.root}/{place}") for place in busy), seconds=30, what="its removal")
    before, seen = everything(), (box("ps", "-aq"), box("volume", "ls", "-q"))
    box("run", "--rm", "-v", "/anonymous", "busybox", "sh", "-c", "echo x > /file; echo x > /anonymous/file")
    assert (box("ps", "-aq"), box("volume", "ls", "-q")) == seen
    wait_until(lambda: everything() == before, seconds=30, what="the end of its files")
    assert mounts_below(box.root) == []


def test_the_merged_directory_exists_only_while_it_runs(box: Lamina) -> None:
    box("run", "-d", "--name", "long", "busybox", "sleep", "100")
    data = document(box, "long")["GraphDriver"]["Data"]
    assert os.path.ismount(data["MergedDir"])
    assert data["LowerDir"].split(":")[0].endswith("-init/diff")
    box("stop", "-t", "0", "long")
    assert not os.path.exists(data["MergedDir"])
    assert os.path.isdir(data["UpperDir"])
    box("rm", "long")
    assert not os.path.exists(data["UpperDir"])


def test_two_containers_share_read_only_layers_and_nothing_else(box: Lamina) -> None:
    for name in ("one", "two"):
        box("run", "--name", name, "busybox", "sh", "-c", f"echo {name} > /file; rm /bin/vi")
    one, two = (document(box, name)["GraphDriver"]["Data"] for name in ("one", "two"))
    assert one["LowerDir"].split(":")[1:] == two["LowerDir"].split(":")[1:]
    assert one["UpperDir"] != two["UpperDir"]
    assert Path(one["UpperDir"], "file").read_text() == "one\n"
    assert Path(two["UpperDir"], "file").read_text() == "two\n"
    assert box("run", "--rm", "busybox", "ls", "/bin/vi") == "/bin/vi\n"


def test_killing_the_command_changes_nothing_for_the_container(box: Lamina) -> None:
    script = "i=0; while test $i -lt 8; do echo line $i; i=$((i+1)); sleep 0.2; done; exit 5"
    with box.start("run", "--name", "orphan", "busybox", "sh", "-c", script) as run:
        assert run.stdout is not None
        run.stdout.readline()
        run.kill()
    assert box("wait", "orphan") == "5\n"
    assert box("logs", "orphan").splitlines() == [f"line {number}" for number in range(8)]
    assert mounts_below(box.root) == []


def parent_of(pid: int) -> int:
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        return int(file.read().rpartition(")")[2].split()[1])


def test_a_dead_monitor_is_noticed_and_cleaned_up_after(box: Lamina) -> None:
    box("run", "-d", "--name", "lost", "busybox", "sleep", "1000")
    pid = document(box, "lost")["State"]["Pid"]
    monitor = parent_of(pid)
    os.kill(monitor, signal.SIGKILL)
    wait_for(lambda: not os.path.exists(f"/proc/{monitor}"))
    state = document(box, "lost")["State"]
    assert (state["Status"], state["ExitCode"], state["Running"], state["Pid"]) == ("exited", 255, False, 0)
    wait_for(lambda: not os.path.exists(f"/proc/{pid}"))
    assert mounts_below(box.root) == []
    box("start", "lost")
    assert document(box, "lost")["State"]["Running"] is True


def test_a_monitor_that_fails_says_why(box: Lamina) -> None:
    """A frame that makes no sense stands for whatever nobody has thought of."""
    with Engine(box.root) as engine:
        box("create", "--name", "failing", "busybox", "sleep", "1000")
        attachment = engine.container_service.start_attached("failing")
        assert attachment is not None
        os.write(attachment.fileno(), frames.RESIZE + b"wide")
        with pytest.raises(MonitorLost, match=r"monitor failed: ValueError: .*monitor\.py:\d+\)"):
            attachment.relay(None, None, None)
        attachment.close()
    state = document(box, "failing")["State"]
    assert (state["Status"], state["ExitCode"]) == ("exited", 255)
    assert state["Error"].startswith("the container's monitor failed: ValueError: ")
    assert mounts_below(box.root) == []
    box("start", "failing")
    assert document(box, "failing")["State"]["Error"] == ""


def test_the_check_finds_what_a_dead_monitor_left(box: Lamina) -> None:
    box("run", "-d", "--name", "lost", "busybox", "sleep", "1000")
    assert box("system", "fsck") == "Nothing is wrong\n"
    pid = document(box, "lost")["State"]["Pid"]
    os.kill(parent_of(pid), signal.SIGKILL)
    wait_for(lambda: box.run("system", "fsck").returncode == 1)
    assert "left by a monitor that died" in box.run("system", "fsck").stdout
    box("system", "fsck", "--repair")
    assert box("system", "fsck") == "Nothing is wrong\n"
    assert mounts_below(box.root) == []
    wait_for(lambda: not os.path.exists(f"/proc/{pid}"))
    assert document(box, "lost")["State"]["ExitCode"] == 255


def test_the_check_finds_a_mount_that_no_container_needs(box: Lamina) -> None:
    box("create", "--name", "still", "busybox")
    merged = document(box, "still")["GraphDriver"]["Data"]["MergedDir"]
    os.mkdir(merged)
    subprocess.run(["mount", "-t", "tmpfs", "none", merged], check=True)
    assert "mounted for a container that does not run" in box.run("system", "fsck").stdout
    box("system", "fsck", "--repair")
    assert mounts_below(box.root) == []
    assert box("system", "fsck") == "Nothing is wrong\n"


def test_names_are_unique_between_processes(box: Lamina) -> None:
    runs = [box.start("create", "--name", "same", "busybox") for _ in range(4)]
    codes = sorted(run.wait(60) for run in runs)
    for run in runs:
        run.communicate()
    assert codes == [0, 1, 1, 1]
    assert box("ps", "-a", "--format", "{{.Names}}") == "same\n"


def test_many_at_once_all_run(box: Lamina) -> None:
    runs = [box.start("run", "--rm", "busybox", "echo", str(number)) for number in range(8)]
    outputs = [run.communicate(timeout=120)[0] for run in runs]
    assert outputs == [f"{number}\n".encode() for number in range(8)]
    assert box("ps", "-aq") == ""


def test_an_image_that_is_missing_is_not_pulled_when_told_so(box: Lamina) -> None:
    done = box.run("run", "--pull", "never", "nosuchimage", "true")
    assert done.returncode == 125
    assert done.stderr == (
        "lamina: Error response from daemon: No such image: nosuchimage:latest.\nSee 'lamina run --help'.\n"
    )


def test_the_id_is_written_to_a_file_that_must_not_exist(box: Lamina, tmp_path: Path) -> None:
    file = tmp_path / "cid"
    box("create", "--cidfile", str(file), "--name", "filed", "busybox")
    assert file.read_text() == document(box, "filed")["Id"]
    done = box.run("run", "--cidfile", str(file), "busybox")
    assert done.returncode == 125
    assert "container ID file found" in done.stderr


@pytest.mark.needs("runc")
def test_runc_runs_it_too(box: Lamina, tmp_path: Path) -> None:
    from lamina.container.parts import Parts
    from lamina.engine import Engine
    from lamina.runtime import program

    engine = Engine(box.root)
    original = Parts.runtime
    try:
        Parts.runtime = lambda self: program.find(("runc",))  # type: ignore[method-assign] # one call, not two
        finished = engine.containers.run("busybox", ["sh", "-c", "echo runc; exit 4"])
    finally:
        Parts.runtime = original  # type: ignore[method-assign] # put back
    assert (finished.exit_code, finished.stdout) == (4, b"runc\n")


def test_a_person_at_a_terminal_can_talk_to_a_shell(box: Lamina) -> None:
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
    command = box.command("run", "--rm", "-it", "busybox", "sh")
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=box.environment) as shell:
        said = b""

        def read_until(word: bytes) -> None:
            nonlocal said
            while word not in said:
                said += os.read(ours, 4096)

        read_until(b"# ")
        os.write(ours, b"busybox stty size; echo $((6*7))\r")
        read_until(b"42\r\n")
        size_is_passed_on = b"33 77\r\n" in said
        os.write(ours, b"sleep 100\r")
        time.sleep(0.5)
        said = b""
        os.write(ours, b"\x03")  # ends sleep, not the shell
        read_until(b"^C")
        read_until(b"# ")  # what is typed before would be flushed with the rest of the line
        os.write(ours, b"exit 9\r")
        assert shell.wait(20) == 9
    assert size_is_passed_on
    attributes = termios.tcgetattr(theirs)
    assert attributes[3] & termios.ICANON, "the terminal is as it was"
    os.close(ours)
    os.close(theirs)
