"""attach, detach keys, several clients, clients that are slow, stopped or killed."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import pytest

from support.command import Lamina
from support.processes import wait_until
from support.terminal import Session

Starter = Callable[..., subprocess.Popen[bytes]]

pytestmark = [pytest.mark.root, pytest.mark.needs("crun")]


@pytest.fixture
def session(box: Lamina) -> Iterator[Callable[..., Session]]:
    """Starts a command on a terminal."""
    started: list[Session] = []

    def start(*words: str) -> Session:
        started.append(Session(box.command(*words), box.environment))
        return started[-1]

    yield start
    for each in started:
        each.close()


@pytest.fixture
def start(box: Lamina) -> Iterator[Starter]:
    """Starts a command in the background; at the end it and its pipes are gone."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(*words: str, **options: Any) -> subprocess.Popen[bytes]:
        started.append(box.start(*words, **options))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()


def out(process: subprocess.Popen[bytes]) -> IO[bytes]:
    assert process.stdout is not None
    return process.stdout


def test_several_clients_see_and_say_the_same(box: Lamina, start: Starter) -> None:
    script = "while read line; do echo got $line; [ $line = end ] && exit 4; done"
    box("run", "-d", "-i", "--name", "shared", "busybox", "sh", "-c", script)
    clients = [start("attach", "shared", stdin=subprocess.PIPE) for _ in range(3)]
    for number, client in enumerate(clients):
        say(client, f"hello {number}")  # a client is there once it has got what it has said itself
        assert f"got hello {number}\n".encode() in iter(out(client).readline, b"")
    say(clients[1], "end")
    for client in clients:
        assert out(client).read().endswith(b"got end\n")
        assert client.wait(60) == 4
    assert box("logs", "shared").splitlines() == ["got hello 0", "got hello 1", "got hello 2", "got end"]


def say(client: subprocess.Popen[bytes], line: str) -> None:
    assert client.stdin is not None
    client.stdin.write(f"{line}\n".encode())
    client.stdin.flush()


def test_no_stdin_gives_nothing_and_ends_nothing(box: Lamina, start: Starter) -> None:
    box("run", "-d", "-i", "--name", "listener", "busybox", "sh", "-c", "read line; echo $line; exit 3")
    client = start("attach", "--no-stdin", "listener", stdin=subprocess.PIPE)
    _until_attached(box, client, "listener")
    say(client, "not heard")
    talker = start("attach", "listener", stdin=subprocess.PIPE)
    assert talker.communicate(b"hello\n", timeout=60)[0] == b"hello\n"
    assert client.communicate(timeout=60)[0] == b"hello\n"
    assert (client.returncode, talker.returncode) == (3, 3)


def test_signals_of_an_attached_client_go_to_the_container(box: Lamina, start: Starter) -> None:
    script = "trap 'echo hup' HUP; echo ready; while true; do sleep 0.1; done"
    box("run", "-d", "--name", "target", "busybox", "sh", "-c", script)
    client = start("attach", "target")
    deaf = start("attach", "--sig-proxy=false", "target")
    wait_until(lambda: "ready" in box("logs", "target"), seconds=60, what="the container to be ready")
    _until_attached(box, client, "target")
    client.send_signal(signal.SIGHUP)
    assert b"hup\n" in iter(out(client).readline, b"")
    deaf.send_signal(signal.SIGTERM)
    deaf.wait(60)
    assert box("ps", "-q") != ""
    box("kill", "target")
    assert client.wait(60) == 137


def _until_attached(box: Lamina, client: subprocess.Popen[bytes], name: str) -> None:
    """Wait until the client's signal handlers are there: the kernel says which signals it catches."""
    mask = 1 << (signal.SIGHUP - 1)

    def catches() -> bool:
        status = Path(f"/proc/{client.pid}/status").read_text()
        (line,) = [line for line in status.splitlines() if line.startswith("SigCgt:")]
        return bool(int(line.split()[1], 16) & mask)

    wait_until(catches, seconds=60, what=f"a client of {name} to attach")


def test_keys_leave_a_container_that_is_attached_to_again(box: Lamina, session: Callable[..., Session]) -> None:
    first = session("run", "-it", "--name", "shell", "busybox", "sh")
    first.expect("# ")
    first.press("\x10\x11")
    assert first.finish() == 0
    again = session("attach", "--detach-keys", "ctrl-x,y", "shell")
    again.type("echo $((40 + 2)); stty size")
    again.expect("42\r\n33 77")
    again.press("\x18y")
    assert again.finish() == 1
    assert "read escape sequence" in again.seen
    third = session("start", "-ai", "shell")
    third.type("exit 6")
    assert third.finish() == 6
    told = box("events", "--since", "1h", "--until", "0s", "--filter", "container=shell", "--format", "{{.Action}}")
    for action, times in (("attach", 3), ("detach", 2), ("start", 1), ("die", 1)):
        assert told.split().count(action) == times, told
    sizes = box("events", "--since", "1h", "--until", "0s", "--filter", "container=shell", "--filter", "event=resize")
    assert "(height=33, image=busybox, name=shell, width=77)" in sizes


def test_a_client_that_is_killed_takes_nothing_along(box: Lamina, start: Starter) -> None:
    box("run", "-d", "--name", "teller", "busybox", "sh", "-c", "for i in $(seq 30); do echo $i; sleep 0.1; done")
    client = start("attach", "teller")
    out(client).readline()
    client.kill()
    client.wait()
    box("wait", "teller")
    assert box("logs", "teller").split() == [str(number) for number in range(1, 31)]


def test_a_client_that_is_stopped_neither_stalls_the_log_nor_misses_anything(box: Lamina, start: Starter) -> None:
    size = 6 << 20
    script = f"read go; head -c {size} /dev/zero | tr '\\0' x; echo; echo end"
    box("run", "-d", "-i", "--name", "loud", "busybox", "sh", "-c", script)
    client = start("attach", "--no-stdin", "loud")
    _until_attached(box, client, "loud")
    client.send_signal(signal.SIGSTOP)
    box("attach", "loud", input=b"go\n")
    assert box("wait", "loud") == "0\n"
    client.send_signal(signal.SIGCONT)
    said = client.communicate(timeout=60)[0]
    assert said == b"x" * size + b"\nend\n"
    assert client.returncode == 0


def test_a_slow_reader_gets_everything_in_order(box: Lamina, start: Starter) -> None:
    reader = start("run", "--rm", "busybox", "sh", "-c", "seq 200000")
    pieces = []
    while piece := os.read(out(reader).fileno(), 100_000):
        pieces.append(piece)
        if len(pieces) < 10:
            time.sleep(0.05)
    assert b"".join(pieces) == "".join(f"{number}\n" for number in range(1, 200_001)).encode()
    assert reader.wait(60) == 0


@pytest.mark.parametrize("round", range(3))
def test_a_terminal_shows_every_byte_of_a_very_short_program(session: Callable[..., Session], round: int) -> None:
    brief = session("run", "--rm", "-it", "busybox", "echo", f"short {round}")
    assert brief.finish() == 0
    assert brief.seen == f"short {round}\r\n"
