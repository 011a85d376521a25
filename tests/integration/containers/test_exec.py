"""exec: streams, terminals, users, directories, failures."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator

import pytest

from support.command import Lamina
from support.processes import wait_until
from support.terminal import Session

pytestmark = [pytest.mark.root, pytest.mark.needs("crun")]

_FAILED = "OCI runtime exec failed: exec failed: "


@pytest.fixture
def on(box: Lamina) -> Lamina:
    """The command, with a container ``on`` that runs."""
    box("run", "-d", "--name", "on", "-e", "COLOR=red", "busybox", "sleep", "1000")
    return box


@pytest.fixture
def session(on: Lamina) -> Iterator[Callable[..., Session]]:
    """Starts a command on a terminal."""
    started: list[Session] = []

    def start(*words: str) -> Session:
        started.append(Session(on.command(*words), on.environment))
        return started[-1]

    yield start
    for each in started:
        each.close()


def processes(on: Lamina, what: str) -> list[str]:
    return [line for line in on("exec", "on", "ps", "-o", "args").splitlines() if what in line]


def test_streams_are_kept_apart_and_the_exit_code_is_the_processs(on: Lamina) -> None:
    done = on.run("exec", "on", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 7)
    assert on.run("exec", "on", "sh", "-c", "kill -9 $$").returncode == 137


def test_input_is_passed_on_and_its_end_too(on: Lamina) -> None:
    data = os.urandom(1 << 20)
    command = on.command("exec", "-i", "on", "cat")
    done = subprocess.run(command, input=data, capture_output=True, env=on.environment, check=True)
    assert done.stdout == data
    assert on("exec", "on", "cat", input="not wanted") == ""


def test_input_that_nobody_reads_does_not_hold_up_the_end(on: Lamina) -> None:
    assert on.run("exec", "-i", "on", "true", input=b"x" * (1 << 20)).returncode == 0


def test_the_environment_is_the_containers_with_additions(on: Lamina) -> None:
    said = on("exec", "-e", "SIZE=big", "-e", "COLOR", "on", "env", env={"COLOR": "blue"}).splitlines()
    assert {"SIZE=big", "COLOR=blue", "HOME=/root"} < set(said)
    assert "COLOR=red" in on("exec", "on", "env").splitlines()


def test_user_and_directory_can_be_chosen(on: Lamina) -> None:
    assert on("exec", "-u", "5:6", "-w", "/etc", "on", "sh", "-c", "id; pwd") == "uid=5 gid=6 groups=6\n/etc\n"


def test_rights_and_filter_are_those_of_the_container(on: Lamina) -> None:
    show = ("grep", "-e", "Cap", "-e", "Secc", "-e", "NoNew")
    assert on("exec", "on", *show, "/proc/self/status") == on("exec", "on", *show, "/proc/1/status")
    privileged = on("exec", "--privileged", "on", "grep", "CapEff", "/proc/self/status")
    assert int(privileged.split()[1], 16) > int(on("exec", "on", "grep", "CapEff", "/proc/1/status").split()[1], 16)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["on", "nosuch"], 'unable to start container process: exec: "nosuch": executable file not found in $PATH'),
        (["on", "/etc"], 'unable to start container process: exec: "/etc": permission denied'),
        (["on", "/nosuch/x"], 'unable to start container process: exec: "/nosuch/x": stat /nosuch/x: no such file or '),
        (["-w", "etc", "on", "pwd"], "Cwd must be an absolute path"),
        (["-w", "/nope", "on", "pwd"], 'unable to start container process: chdir to cwd ("/nope") set in config.json'),
    ],
)
def test_what_can_not_be_started_is_said_where_it_would_have_spoken(on: Lamina, words: list[str], message: str) -> None:
    done = on.run("exec", *words)
    assert done.stdout.startswith(_FAILED + message)
    assert (done.stderr, done.returncode) == ("", 126)


def test_a_door_to_the_host_is_no_working_directory(on: Lamina) -> None:
    on("exec", "on", "ln", "-s", "/proc/self/fd/5", "/door")
    for path in ("/proc/self/fd/5", "/door", "/proc/1/fd/3"):
        assert on.run("exec", "-w", path, "on", "pwd").returncode == 126, path


def test_detached_it_goes_on_and_dies_with_the_container(on: Lamina) -> None:
    assert on("exec", "-d", "on", "sleep", "999") == ""
    assert on("exec", "-dt", "on", "sleep", "888") == ""
    for number in ("999", "888"):
        assert len(processes(on, number)) == 1
    on("rm", "-f", "on")
    assert on("ps", "-aq") == ""


def test_a_container_that_does_not_run_is_not_entered(box: Lamina) -> None:
    container_id = box("create", "--name", "off", "busybox", "true").strip()
    done = box.run("exec", "off", "true")
    assert done.stderr == f"Error response from daemon: Container {container_id} is not running\n"
    assert done.returncode == 1
    assert box.run("exec", "nosuch", "true").stderr == "Error: No such container: nosuch\n"


def test_the_end_of_the_container_ends_a_process_that_is_watched(on: Lamina) -> None:
    process = on.start("exec", "on", "sh", "-c", "echo here; sleep 999")
    assert process.stdout is not None
    assert process.stdout.readline() == b"here\n"
    on("kill", "on")
    assert process.wait(60) == 137
    process.communicate()


def test_a_terminal_has_a_size_that_follows(session: Callable[..., Session]) -> None:
    shell = session("exec", "-it", "on", "sh")
    shell.expect("# ")
    shell.type("stty size; echo $TERM")
    shell.expect("33 77\r\nxterm")
    shell.resize(44, 55)
    shell.process.send_signal(signal.SIGWINCH)
    shell.type("sleep 0.3; stty size")
    shell.expect("44 55")
    shell.type("exit 5")
    assert shell.finish() == 5


def test_keys_leave_the_process_running(on: Lamina, session: Callable[..., Session]) -> None:
    typed = session("exec", "-it", "--detach-keys", "a,b", "on", "cat")
    typed.type("ax")
    typed.expect("ax\r\nax")
    typed.press("ab")
    assert typed.finish() == 1
    assert "read escape sequence" in typed.seen
    assert len(processes(on, "cat")) == 1


def test_files_of_a_process_go_with_it(on: Lamina) -> None:
    on("exec", "on", "true")
    on.run("exec", "on", "nosuch")
    home = f"{on.root}/lamina/run"
    (name,) = os.listdir(home)
    wait_until(lambda: os.listdir(f"{home}/{name}/exec") == [], seconds=60, what="files to be removed")
