"""Containers that a power cut has damaged: they are named, disturb nobody, and go with ``rm -f``, alone."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from support.command import Lamina

pytestmark = [pytest.mark.root, pytest.mark.needs("crun")]

RECORD = ("config.v2.json", "hostconfig.json")
MOUNT = ("mount-id", "init-id", "parent")
DRIVER = ("link", "lower")


class Victim(NamedTuple):
    """One container that gets damaged, and what of the root is not its own."""

    id: str
    root: str
    mount_id: str
    others: frozenset[str]

    def path(self, name: str) -> str:
        if name in RECORD:
            return f"{self.root}/containers/{self.id}/{name}"
        if name in MOUNT:
            return f"{self.root}/image/overlay2/layerdb/mounts/{self.id}/{name}"
        return f"{self.root}/overlay2/{self.mount_id}/{name}"

    def left(self) -> frozenset[str]:
        """What is on disk now that was not there before it, or that is there no more."""
        return self.others ^ things(self.root)


def things(root: str) -> frozenset[str]:
    """Everything that belongs to one layer, container or run."""
    homes = ("containers", "overlay2", "overlay2/l", "image/overlay2/layerdb/mounts", "lamina/run", "lamina/trash")
    return frozenset(
        f"{home}/{name}" for home in homes if os.path.isdir(f"{root}/{home}") for name in os.listdir(f"{root}/{home}")
    )


@pytest.fixture
def victim(box: Lamina) -> Iterator[Victim]:
    box("run", "--name", "other", "--network", "none", "busybox", "sh", "-c", "echo kept > /file")
    others = things(box.root)
    box("create", "--name", "victim", "--rm", "busybox", "true")
    id = box("ps", "-aq", "--no-trunc", "--filter", "name=victim").strip()
    mounts = f"{box.root}/image/overlay2/layerdb/mounts/{id}/mount-id"
    with open(mounts) as file:
        yield Victim(id, box.root, file.read(), others)
    box.run("rm", "-f", id)


def empty(content: bytes) -> bytes:
    return b""


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def garbage(content: bytes) -> bytes:
    return bytes(range(128, 256))


def damage(path: str, how: Callable[[bytes], bytes]) -> None:
    with open(path, "rb") as file:
        content = file.read()
    with open(path, "wb") as file:
        file.write(how(content))


def check_alone(box: Lamina, victim: Victim) -> None:
    """Only the victim is gone, wholly, and nothing is wrong."""
    assert victim.left() == frozenset()
    assert box("system", "fsck") == "Nothing is wrong\n"
    assert "A /file\n" in box("diff", "other")


@pytest.mark.parametrize("how", [empty, cut, garbage])
@pytest.mark.parametrize("name", RECORD)
def test_a_damaged_record_is_named_and_goes_by_force(
    box: Lamina, victim: Victim, name: str, how: Callable[[bytes], bytes]
) -> None:
    path = victim.path(name)
    damage(path, how)
    for command in ("inspect", "start", "logs", "stop", "rm") if how is empty else ("rm",):
        done = box.run(command, victim.id[:12])
        assert done.returncode != 0, command
        assert path in done.stderr, command
        assert f"'lamina rm -f {victim.id}' removes it" in done.stderr, command
    listed = box.run("ps", "-a", "--format", "{{.Names}}")
    assert (listed.returncode, listed.stdout) == (0, "other\n")
    assert path in listed.stderr
    checked = box.run("system", "fsck", "--repair")
    assert checked.returncode == 1
    assert f"lamina rm -f {victim.id}" in checked.stdout
    assert box("rm", "-f", victim.id[:12]) == f"{victim.id[:12]}\n"
    check_alone(box, victim)


@pytest.mark.parametrize("how", [empty, cut, garbage])
@pytest.mark.parametrize("name", MOUNT)
def test_a_damaged_layer_is_named_and_goes_by_force(
    box: Lamina, victim: Victim, name: str, how: Callable[[bytes], bytes]
) -> None:
    path = victim.path(name)
    damage(path, how)
    done = box.run("start", victim.id)
    assert done.returncode != 0
    assert os.path.dirname(path) in done.stderr
    assert repr(name) in done.stderr
    assert f"'lamina rm -f {victim.id}' removes the container" in done.stderr
    listed = box.run("ps", "-as", "--format", "{{.Names}}")
    assert (listed.returncode, listed.stdout) == (0, "victim\nother\n")
    checked = box.run("system", "fsck", "--repair")
    assert checked.returncode == 1
    assert f"lamina rm -f {victim.id}" in checked.stdout
    box("rm", "-f", "victim")
    check_alone(box, victim)


@pytest.mark.parametrize("how", [empty, cut, garbage])
@pytest.mark.parametrize("name", DRIVER)
def test_a_damaged_directory_of_the_driver_is_mended_and_goes_by_force(
    box: Lamina, victim: Victim, name: str, how: Callable[[bytes], bytes]
) -> None:
    with open(victim.path(name), "rb") as file:
        before = file.read()
    damage(victim.path(name), how)
    box("system", "fsck", "--repair")
    if name == "lower":
        with open(victim.path(name), "rb") as file:
            assert file.read() == before
    damage(victim.path(name), how)
    box("rm", "-f", "victim")
    check_alone(box, victim)


def test_another_ones_layer_is_safe_from_a_damaged_id(box: Lamina, victim: Victim) -> None:
    other = box("ps", "-aq", "--no-trunc", "--filter", "name=other").strip()
    with open(f"{box.root}/image/overlay2/layerdb/mounts/{other}/mount-id", "rb") as file:
        layer = file.read()
    damage(victim.path("mount-id"), lambda _: layer)
    assert box.run("start", "victim").returncode != 0
    box("rm", "-f", "victim")
    check_alone(box, victim)


def test_both_ids_may_be_lost_and_the_record_too(box: Lamina, victim: Victim) -> None:
    for name in ("config.v2.json", "hostconfig.json", "mount-id", "init-id", "link"):
        damage(victim.path(name), empty)
    box("rm", "-f", victim.id)
    check_alone(box, victim)


def test_nothing_is_guessed_while_another_container_has_lost_its_layer_too(box: Lamina, victim: Victim) -> None:
    box("create", "--name", "second", "busybox", "true")
    second = box("ps", "-aq", "--no-trunc", "--filter", "name=second").strip()
    for id in (victim.id, second):
        for name in ("mount-id", "init-id"):
            damage(f"{box.root}/image/overlay2/layerdb/mounts/{id}/{name}", empty)
    before = {name for name in things(box.root) if name.startswith("overlay2/")}
    box("rm", "-f", "victim")
    assert {name for name in things(box.root) if name.startswith("overlay2/")} == before
    box("rm", "-f", "second")
    box("system", "fsck", "--repair")
    check_alone(box, victim)


def test_the_name_is_free_again_and_the_damaged_one_goes_by_it(box: Lamina, victim: Victim) -> None:
    damage(victim.path("hostconfig.json"), empty)
    assert "hostconfig.json is empty" in box.run("inspect", "victim").stderr
    assert box("run", "--rm", "--name", "victim", "--network", "none", "busybox", "echo", "new") == "new\n"
    assert box("rm", "-f", "victim") == "victim\n"
    check_alone(box, victim)


@pytest.mark.parametrize("monitored", [True, False])
def test_one_that_ran_goes_by_force_too(box: Lamina, victim: Victim, *, monitored: bool) -> None:
    """What was made for its run goes too, whether its monitor lives or died with it."""
    others = things(box.root)
    id = box("run", "-d", "-v", "/data", "--name", "running", "busybox", "sleep", "1000").strip()
    pid = json.loads(box("inspect", id))[0]["State"]["Pid"]
    if not monitored:
        with open(f"/proc/{pid}/stat") as file:
            monitor = int(file.read().rpartition(")")[2].split()[1])
        assert monitor > 1
        for doomed in (monitor, pid):
            os.kill(doomed, signal.SIGKILL)
    damage(f"{box.root}/containers/{id}/config.v2.json", cut)
    damage(f"{box.root}/image/overlay2/layerdb/mounts/{id}/mount-id", empty)
    assert box("ps", "-a", "--format", "{{.Names}}") == "victim\nother\n"
    box("rm", "-f", id)
    assert not os.path.exists(f"/proc/{pid}/exe")  # ended, reaped or not
    assert things(box.root) == others
    box("rm", "-f", "victim")
    check_alone(box, victim)
