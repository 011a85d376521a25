"""The process that waits to become a container's monitor: it does, or it goes."""

from __future__ import annotations

import fcntl
import os
import signal

import pytest

import lamina
from lamina.container.attachment import Attachment, MonitorLost, StartFailed
from support.command import Lamina
from support.processes import wait_until


def _state(pid: int) -> str:
    """Letter of ``/proc/<pid>/stat``; ``""`` when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def test_it_becomes_the_monitor(box: Lamina) -> None:
    with lamina.Engine(box.root) as engine:
        service = engine.container_service
        with service.standby() as standby:
            box("create", "--name", "one", "busybox", "sleep", "1000")
            service.start("one", standby)
        record = service.get("one")
        with open(f"/proc/{record.pid}/stat", encoding="utf-8") as file:
            parent = int(file.read().rpartition(")")[2].split()[1])
        assert parent == standby.pid
        with open(f"/proc/{standby.pid}/comm", encoding="utf-8") as file:
            assert file.read() == "lamina-monitor\n"


def test_one_that_is_not_used_is_gone_at_once(box: Lamina) -> None:
    with lamina.Engine(box.root) as engine, engine.container_service.standby() as standby:
        assert _state(standby.pid) not in ("", "Z")
    assert _state(standby.pid) == ""


def test_one_goes_with_its_parent(box: Lamina) -> None:
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            with lamina.Engine(box.root) as engine, engine.container_service.standby() as standby:
                os.write(write, str(standby.pid).encode())
                signal.pause()
        finally:
            os._exit(1)
    os.close(write)
    pid = int(os.read(read, 100))
    os.close(read)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    wait_until(lambda: _state(pid) in ("", "Z"), seconds=10, what="the end of the process")


def test_it_leaves_a_container_alone_that_runs_already(box: Lamina) -> None:
    pid = box("run", "-d", "--name", "one", "busybox", "sleep", "1000") and box(
        "inspect", "-f", "{{.State.Pid}}", "one"
    )
    with lamina.Engine(box.root) as engine, engine.container_service.standby() as standby:
        assert engine.container_service.start_attached("one", standby) is None
        os.waitpid(standby.pid, 0)
    assert box("inspect", "-f", "{{.State.Pid}}", "one") == pid


def test_one_that_is_killed_is_an_error_of_the_start(box: Lamina) -> None:
    box("create", "--name", "one", "busybox", "true")
    with lamina.Engine(box.root) as engine, engine.container_service.standby() as standby:
        os.kill(standby.pid, signal.SIGKILL)
        os.waitpid(standby.pid, 0)
        with pytest.raises(MonitorLost, match="monitor ended before the container started"):
            engine.container_service.start("one", standby)
    assert box("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "one") == "created 128\n"
    box("start", "one")


def test_a_start_that_fails_is_written_down(box: Lamina) -> None:
    box("create", "--name", "one", "busybox", "nothing-of-that-name")
    with lamina.Engine(box.root) as engine:
        with engine.container_service.standby() as standby, pytest.raises(StartFailed) as caught:
            engine.container_service.start("one", standby)
        os.waitpid(standby.pid, 0)
    assert caught.value.code == 127
    assert box("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "one") == "created 127\n"


def test_a_command_that_makes_no_container_leaves_none(box: Lamina) -> None:
    done = box.run("run", "--pull", "never", "no-such-image")
    assert done.returncode == 125
    assert "No such image" in done.stderr


def test_why_the_engine_can_not_be_opened_is_said(box: Lamina) -> None:
    """A dockerd came between the command and its monitor."""
    box("create", "--name", "one", "busybox", "true")
    database = f"{box.root}/network/files/local-kv.db"
    os.makedirs(os.path.dirname(database), exist_ok=True)
    with lamina.Engine(box.root) as engine, engine.container_service.standby() as standby:
        identifier = engine.container_service.id_of("one")
        descriptor = os.open(database, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            attachment = Attachment(standby.begin(identifier, attached=False))
            with pytest.raises(StartFailed, match="in use by a running dockerd"):
                attachment.wait_until_started()
            attachment.close()
        finally:
            os.close(descriptor)
            os.unlink(database)
        os.waitpid(standby.pid, 0)
