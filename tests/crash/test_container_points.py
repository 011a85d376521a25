"""A verb on containers or volumes that dies before any of its changes on disk leaves nothing half done."""

from __future__ import annotations

import io
import itertools
import os
import select
import signal
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import pytest

from lamina.cli.main import main
from lamina.engine import Engine
from support import programs
from support.command import Lamina
from support.mounts import memory_file_system, mounts_below
from support.storage import Fault, in_child

pytestmark = [pytest.mark.crash, pytest.mark.root, pytest.mark.needs("crun")]

Work = Callable[[Engine], object]


class Operation(NamedTuple):
    """What dies, what is made before it, and what has to be true whenever it died."""

    prepare: tuple[tuple[str, ...], ...]
    run: Work
    check: Callable[[Engine], None]


def _names(engine: Engine) -> set[str]:
    return {container.name for container in engine.containers}


def _renamed(engine: Engine) -> None:
    assert _names(engine) in ({"one"}, {"two"})


def _updated(engine: Engine) -> None:
    assert engine.containers.get("one").record.host_config["Memory"] in (0, 32 << 20)


def _removed(engine: Engine) -> None:
    assert {volume.name for volume in engine.volumes.all()} <= {"kept"}


def _pruned(engine: Engine) -> None:
    assert _names(engine) <= {"one"}
    for container in engine.containers:
        assert container.changes() is not None


def _restore(engine: Engine) -> None:
    list(engine.container_service.restore())


def _restored(engine: Engine) -> None:
    for container in engine.containers:
        container.start()
        assert container.running
        container.stop(0)


def _remove_damaged(engine: Engine) -> None:
    """Nothing says which layer it has, nor what it is."""
    (id,) = engine.container_service.store.ids()
    mount = engine.root.store("layerdb/mounts", id)
    for path in (engine.root.sub("containers", id, "config.v2.json"), f"{mount}/mount-id", f"{mount}/init-id"):
        Path(path).write_bytes(b"")
    engine.container_service.remove(id, force=True)


def _gone(engine: Engine) -> None:
    _ = engine.image_store  # whoever opens it reclaims what is left
    for id in engine.container_service.store.damaged():
        engine.container_service.remove(id, force=True)
    assert _names(engine) <= {"one"}  # it died before the damage


_CREATE = ("create", "--network", "none", "-v", "/data", "--name")
_LOST = ("run", "-d", "--network", "none", "--restart", "always", "--name", "one", "busybox", "sleep", "1000")
OPERATIONS = {
    "rename": Operation(
        ((*_CREATE, "one", "busybox"),), lambda engine: engine.containers.get("one").rename("two"), _renamed
    ),
    "update": Operation(
        ((*_CREATE, "one", "busybox"),),
        lambda engine: engine.containers.get("one").update({"Memory": 32 << 20, "MemorySwap": 64 << 20}),
        _updated,
    ),
    "volume rm": Operation((("volume", "create", "kept"),), lambda engine: engine.volumes.remove("kept", ()), _removed),
    "container prune": Operation(((*_CREATE, "one", "busybox"),), lambda engine: engine.containers.prune(), _pruned),
    "rm -f of a damaged one": Operation(((*_CREATE, "one", "busybox"),), _remove_damaged, _gone),
    "system restore": Operation((_LOST,), _restore, _restored),
}


@pytest.fixture
def root(tmp_path: Path, busybox_archive: str) -> Iterator[Lamina]:
    """A root with busybox on a file system that syncs at once."""
    programs.need_root()
    with memory_file_system(str(tmp_path / "memory")) as path:
        command = Lamina(f"{path}/root", str(tmp_path / "config"))
        command("load", "-q", "-i", busybox_archive)
        yield command
        command.remove_containers()


def _say(lamina: Lamina, *words: str) -> str:
    """What a command says, in this process; it must succeed."""
    out = io.TextIOWrapper(io.BytesIO(), "utf-8")
    with redirect_stdout(out), redirect_stderr(out):
        code = main(["--root", lamina.root, "--config", lamina.docker_config, *words])
    out.flush()
    said = out.detach().getvalue().decode()
    assert code == 0, f"{words}: {said}"
    return said


@pytest.mark.parametrize("name", OPERATIONS)
def test_death_before_any_change_leaves_nothing_half_done(root: Lamina, name: str) -> None:
    operation = OPERATIONS[name]
    for number in itertools.count(1):
        for words in operation.prepare:
            if words is _LOST:
                _lose(root)
            else:
                _say(root, *words)
        fault = Fault(number)
        status = in_child(lambda: _in_engine(root, operation.run), fault)
        where = f"{name}, after death at change {number}"
        with Engine(root.root) as engine:
            operation.check(engine)
            for container in engine.containers:
                container.remove(force=True, volumes=True)
            for volume in engine.volumes.all():
                engine.volumes.remove(volume.name, ())
        assert _say(root, "system", "fsck") == "Nothing is wrong\n", where
        assert not mounts_below(root.root), where
        assert [*Path(root.root, "lamina/run").glob("*"), *Path(root.root, "lamina/trash").glob("*")] == [], where
        if not fault.happened:  # in the command or in a monitor
            assert status == 0, where
            assert number > 2
            return


def _in_engine(lamina: Lamina, work: Work) -> None:
    with Engine(lamina.root) as engine:
        work(engine)


def _lose(lamina: Lamina) -> None:
    """A container that ran when the host went down."""
    lamina(*_LOST)
    with Engine(lamina.root) as engine:
        record = engine.containers.get("one").record
        with open(f"/proc/{record.pid}/stat", encoding="ascii") as file:
            monitor = int(file.read().rpartition(")")[2].split()[1])
    handle = os.pidfd_open(monitor)
    os.kill(monitor, signal.SIGKILL)
    select.select([handle], [], [])
    os.close(handle)
