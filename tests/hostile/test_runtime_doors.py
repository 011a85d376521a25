"""What a container could reach the host by through whatever starts its processes: descriptors that stay open, working
directories in ``/proc`` and the runtime's own program; and libraries that ``cp`` could load from it.

The cases are CVE-2019-5736, 2024-21626 and 2019-14271.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import images, programs
from support.command import Lamina, configured_program
from support.images import LayerTar, TestImage

pytestmark = [pytest.mark.root, pytest.mark.needs("crun")]

#: Numbers of the descriptors that a process has, its own look at them left out, and what they lead to.
_LIST = "for f in /proc/self/fd/*; do busybox readlink $f; done; busybox ls /proc/self/fd | busybox tr '\\n' ' '"
_SHOWN = {"0", "1", "2", "3"}
#: How often the runtime is attacked, at least.
_ROUNDS = 3


@pytest.fixture
def leaking(tmp_path: Path) -> Iterator[list[int]]:
    """Descriptors of the host that every program started meanwhile inherits, also at high numbers."""
    marked = tmp_path / "leaked"
    marked.mkdir()
    here, there = socket.socketpair()
    opened = [os.open(marked, os.O_RDONLY), os.open("/", os.O_PATH), here.fileno(), there.fileno()]
    opened += [os.dup2(opened[0], number) for number in (40, 99, 777)]
    for descriptor in opened:
        os.set_inheritable(descriptor, True)
    try:
        yield opened
    finally:
        for descriptor in set(opened) - {here.fileno(), there.fileno()}:
            os.close(descriptor)
        here.close()
        there.close()


def _run(lamina: Lamina, *words: str, stdin: bytes | None = None) -> str:
    """With every descriptor that can be inherited."""
    done = subprocess.run(
        lamina.command(*words),
        env=lamina.environment,
        input=stdin,
        stdin=None if stdin is not None else subprocess.DEVNULL,
        capture_output=True,
        close_fds=False,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def _check(said: str) -> None:
    *targets, numbers = said.splitlines()
    assert set(numbers.split()) <= _SHOWN, said
    streams = ("pipe:", "/dev/", "/proc/", "/first", "/detached.new", "/health.new", "/built")
    # Without input a process reads a null device of the container's own.
    assert all(target.startswith(streams) or target.endswith("/null") for target in targets if target), said
    assert "leaked" not in said


@pytest.mark.usefixtures("leaking")
def test_a_process_has_no_descriptor_of_the_host(lamina: Lamina, busybox_archive: str, tmp_path: Path) -> None:
    lamina("load", "-q", "-i", busybox_archive)
    run = ("run", "--rm", "--network", "none")
    _check(_run(lamina, *run, "busybox", "sh", "-c", _LIST))
    _check(_run(lamina, *run, "-i", "busybox", "sh", "-c", _LIST, stdin=b""))
    health = ("--health-cmd", f"({_LIST}) > /health.new; mv /health.new /health", "--health-interval", "1s")
    _run(lamina, "run", "-d", "--name", "up", *health, "busybox", "sh", "-c", f"({_LIST}) > /first; exec sleep 100")
    _run(lamina, "exec", "-d", "up", "sh", "-c", f"({_LIST}) > /detached.new; mv /detached.new /detached")
    _check(_run(lamina, "exec", "up", "sh", "-c", _LIST))
    _check(_run(lamina, "exec", "-i", "up", "sh", "-c", _LIST, stdin=b""))
    for name in ("first", "detached", "health"):
        _check(_run(lamina, "exec", "up", "sh", "-c", f"until [ -e /{name} ]; do sleep 0.05; done; cat /{name}"))
    (tmp_path / "Dockerfile").write_text(f"FROM busybox\nRUN ({_LIST}) > /built\n")
    _run(lamina, "build", "-q", "-t", "built", str(tmp_path))
    _check(_run(lamina, *run, "built", "cat", "/built"))


@pytest.mark.usefixtures("leaking")
def test_no_working_directory_leads_out(lamina: Lamina, busybox_archive: str) -> None:
    lamina("load", "-q", "-i", busybox_archive)
    lamina("run", "-d", "--name", "up", "busybox", "sh", "-c", "ln -s /proc/self/fd/9 /link; exec sleep 1000")
    places = [f"/proc/self/fd/{number}" for number in (3, 4, 5, 6, 7, 8, 9, 10, 40, 777)]
    for place in (*places, "/proc/self/fd/8/../..", "/proc/thread-self/fd/7", "/proc/1/root", "/link", "/link/.."):
        for words in (("exec", "-w", place, "up"), ("run", "--rm", "-w", place, "busybox")):
            if words[0] == "run" and place not in (places[4], places[-1], "/proc/self/fd/8/../.."):
                continue  # refused before the runtime is called, whatever the number
            done = lamina.run(*words, "sh", "-c", "busybox readlink /proc/self/cwd; ls -d etc/shadow root/. var/lib/.")
            assert done.returncode != 0, f"{words}: {done.stdout}"
            assert not {"etc/shadow", "root/.", "var/lib/."} & set(done.stdout.split()), f"{words}: {done.stdout}"


def test_a_working_directory_that_is_swapped_with_a_door_leads_nowhere(lamina: Lamina, busybox_archive: str) -> None:
    lamina("load", "-q", "-i", busybox_archive)
    swap = "mv /work /dir; mv /door /work; mv /work /door; mv /dir /work"
    script = f"mkdir /work; touch /work/mine; ln -s /proc/self/fd/7 /door; while :; do {swap}; done"
    lamina("run", "-d", "--name", "up", "busybox", "sh", "-c", script)
    seen = set()
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        done = lamina.run("exec", "-w", "/work", "up", "ls")
        seen.add(done.returncode)
        assert done.returncode != 0 or done.stdout == "mine\n", done.stdout
    assert seen


@pytest.fixture
def own_runtime(tmp_path: Path) -> Iterator[tuple[Lamina, Path]]:
    """A root whose runtime is a copy of crun that a test may damage."""
    copy = tmp_path / "crun"
    shutil.copy(programs.find("crun") or "", copy)
    file = tmp_path / "daemon.json"
    file.write_text(json.dumps({"runtimes": {"copy": {"path": str(copy)}}, "default-runtime": "copy"}))

    class Configured(Lamina):
        def command(self, *arguments: str) -> list[str]:
            return [*configured_program(str(file)), "--root", self.root, *arguments]

    lamina = Configured(str(tmp_path / "root"), str(tmp_path / "config"))
    yield lamina, copy
    lamina.remove_containers()


def _runtimes(seen: Path) -> set[str]:
    """Names of the runtime among those of processes: its own, or the number of the descriptor that it runs from."""
    return {name for name in seen.read_text().split() if name == "crun" or name.isdecimal()}


def test_a_container_can_not_write_to_the_runtime_that_enters_it(
    own_runtime: tuple[Lamina, Path], tmp_path: Path
) -> None:
    lamina, copy = own_runtime
    before = hashlib.sha256(copy.read_bytes()).digest()
    layers = [images.busybox_layer(), LayerTar().file("evil", "#!/proc/self/exe\n", mode=0o755)]
    image = TestImage([layer.bytes() for layer in layers], config={"Env": ["PATH=/bin"]})
    lamina("load", "-q", "-i", image.docker_archive(str(tmp_path / "image.tar"), "hostile:latest"))
    # Whoever holds the program open while it runs, writes to it once it does not.
    attack = """
        for p in /proc/[0-9]*; do
            read name < $p/comm || continue
            case $name in sh|sleep|cat) continue;; esac
            echo $name >> /out/seen
            ( exec 9<$p/exe; for i in 1 2 3 4; do echo x > /proc/self/fd/9; sleep 0.01; done ) &
        done"""
    out = tmp_path / "out"
    out.mkdir()
    (out / "seen").touch()
    script = f"while :; do {attack}; done 2>/dev/null"
    lamina("run", "-d", "--name", "up", "-v", f"{out}:/out", "hostile", "sh", "-c", script)
    deadline = time.monotonic() + 30
    rounds = 0
    while rounds < _ROUNDS or not _runtimes(out / "seen"):
        assert time.monotonic() < deadline, "the container has not seen the runtime"
        lamina.run("exec", "up", "/evil")
        lamina.run("run", "--rm", "--pid", "container:up", "hostile", "/evil")
        rounds += 1
    assert hashlib.sha256(copy.read_bytes()).digest() == before


def test_cp_and_its_like_load_nothing_from_a_container(lamina: Lamina, busybox_archive: str, tmp_path: Path) -> None:
    """Each of these files is a pipe that nobody writes to: who opens one never comes back."""
    lamina("load", "-q", "-i", busybox_archive)
    names = ["/etc/nsswitch.conf", "/etc/ld.so.preload", "/etc/ld.so.cache", "/lib/x86_64-linux-gnu/libnss_files.so.2"]
    names += ["/lib64/libnss_files.so.2", "/usr/lib/libc.so.6", "/etc/localtime"]
    pipes = "; ".join(f"mkdir -p {os.path.dirname(name)}; mknod {name} p" for name in names)
    lamina("run", "--name", "trap", "busybox", "sh", "-c", f"{pipes}; echo x > /file")
    for state in ("stopped", "running"):
        lamina("cp", "trap:/file", str(tmp_path / "out"), timeout=30)
        lamina("cp", str(tmp_path / "out"), "trap:/in", timeout=30)
        lamina("export", "-o", str(tmp_path / "all.tar"), "trap", timeout=30)
        lamina("diff", "trap", timeout=30)
        lamina("commit", "trap", "kept", timeout=30)
        if state == "stopped":
            lamina("rm", "trap")
            lamina("run", "-d", "--name", "trap", "kept", "sleep", "100")
            lamina("exec", "-u", "root", "trap", "true", timeout=30)
