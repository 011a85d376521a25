"""Reading a container's files while it ends, starts again or is removed."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from collections.abc import Callable, Iterator

import pytest

from lamina.container.files import CommitRequest, ContainerFiles
from lamina.engine import Engine
from lamina.errors import NotFound
from lamina.linux import mount
from lamina.reference import parse
from support.command import Lamina

pytestmark = [pytest.mark.root]

#: More than a pipe holds, and than what is read ahead.
_BIG = 4 << 20
_MAKE = f"dd if=/dev/zero of=/written bs={_BIG} count=1 2>/dev/null; mkdir -p /z; echo last > /z/last"


@pytest.fixture
def engine(box: Lamina) -> Iterator[Engine]:
    with Engine(box.root) as engine:
        yield engine


def _names(data: bytes) -> dict[str, int]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {member.name: member.size for member in tar}


def _is_whole(data: bytes) -> None:
    names = _names(data)
    assert names["written"] == _BIG
    assert "bin/busybox" in names
    assert names["z/last"] == 5


def _remove(box: Lamina, name: str) -> None:
    box("rm", "-f", name)
    assert not box("ps", "-aq", "--filter", f"name={name}")


def _start_again(box: Lamina, name: str) -> None:
    box("stop", "-t", "0", name)
    box("start", name)


def _end(box: Lamina, name: str) -> None:
    box("stop", "-t", "0", name)


@pytest.mark.parametrize("then", [_remove, _start_again, _end])
@pytest.mark.parametrize("running", [True, False])
def test_an_export_that_has_begun_is_whole_whatever_happens_to_the_container(
    box: Lamina, engine: Engine, then: Callable[[Lamina, str], None], running: bool
) -> None:
    once = f"[ -e /done ] || {{ {_MAKE}; touch /done; }}; exec sleep 100"
    box("run", "-d", "--name", "out", "busybox", "sh", "-c", once)
    box("exec", "out", "sh", "-c", "until [ -e /done ]; do sleep 0.01; done")
    if not running:
        box("stop", "-t", "0", "out")
    chunks = ContainerFiles(engine.container_service).export("out")
    data = next(chunks)
    then(box, "out")
    _is_whole(data + b"".join(chunks))
    if then is not _start_again:
        assert not mount.mount_points(box.root)
    box.remove_containers()
    assert not os.listdir(f"{box.root}/lamina/trash")


def test_whoever_is_killed_while_it_exports_leaves_no_mount_and_no_file(box: Lamina) -> None:
    box("run", "--name", "out", "busybox", "sh", "-c", _MAKE)
    with box.start("export", "out") as exporting:
        assert exporting.stdout is not None
        exporting.stdout.read(1)
        assert not mount.mount_points(box.root)
        box("rm", "out")
        assert os.listdir(f"{box.root}/lamina/trash")
        exporting.kill()
    box("create", "--name", "next", "busybox")
    box("rm", "next")
    assert not os.listdir(f"{box.root}/lamina/trash")


def test_an_export_at_any_moment_of_the_end_is_whole_or_says_that_nothing_is_there(box: Lamina) -> None:
    for number in range(3):
        name = f"out{number}"
        options = ["--rm"] if number % 2 else []
        box("run", "-d", "--name", name, *options, "busybox", "sh", "-c", f"{_MAKE}; exec sleep 100")
        box("exec", name, "sh", "-c", "until [ -e /z/last ]; do sleep 0.01; done")
        with box.start("kill", name, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
            exports = [box.start("export", name) for _ in range(2)]
            for done in exports:
                data, errors = done.communicate()
                if done.returncode:
                    assert "No such container" in errors.decode()
                else:
                    _is_whole(data)
        if not number % 2:
            box("rm", name)
    assert not os.listdir(f"{box.root}/lamina/trash")


def test_a_commit_while_the_container_is_removed_has_all_of_it(box: Lamina, engine: Engine) -> None:
    box("run", "--name", "out", "busybox", "sh", "-c", _MAKE)
    files = ContainerFiles(engine.container_service)
    layers = engine.container_service.parts.layers
    real = layers.writable_tar

    def removed_meanwhile(container_id: str) -> Iterator[bytes]:
        chunks = real(container_id)
        yield next(chunks)
        box("rm", "-f", "out")
        yield from chunks

    layers.writable_tar = removed_meanwhile  # type: ignore[method-assign]  # the moment in between
    files.commit("out", CommitRequest(reference=parse("kept")))
    assert box("run", "--rm", "kept", "sh", "-c", "wc -c < /written; cat /z/last") == f"{_BIG}\nlast\n"
    box("rmi", "kept")
    with pytest.raises(NotFound):
        files.commit("out", CommitRequest())


def test_diff_and_cp_at_any_moment_of_the_end_are_right_or_say_that_nothing_is_there(box: Lamina) -> None:
    for number in range(3):
        name = f"out{number}"
        box("run", "-d", "--name", name, "--rm", "busybox", "sh", "-c", f"{_MAKE}; exec sleep 100")
        box("exec", name, "sh", "-c", "until [ -e /z/last ]; do sleep 0.01; done")
        with box.start("kill", name, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
            doing = [box.start(*words) for words in (("diff", name), ("cp", f"{name}:/z/last", "-")) * 2]
            for done in doing:
                data, errors = done.communicate()
                if done.returncode:
                    assert "No such container" in errors.decode(), errors
                else:
                    assert b"A /z/last\n" in data or _names(data) == {"last": 5}
    assert not os.listdir(f"{box.root}/lamina/trash")
