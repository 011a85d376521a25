"""``kill -9`` at random moments of the commands that change a root, two hundred times in all.

After each kill everything that is listed is whole, and the file system check has nothing to say. ``LAMINA_CRASH_SEED``
repeats a sequence of moments.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lamina.errors import NotFound
from lamina.image.removal import remove
from support.command import Lamina
from support.images import LayerTar, TestImage
from support.mounts import memory_file_system
from support.processes import wait_until
from support.registry import Registry
from support.storage import Storage, open_storage

pytestmark = [pytest.mark.crash, pytest.mark.root, pytest.mark.slow, pytest.mark.needs("crun")]

#: Kills of each command.
KILLS = {"load": 50, "pull": 60, "commit": 40, "rm": 30, "rmi": 20}


class Victim:
    """A root on which commands are killed.

    :ivar image: what is loaded and pulled: busybox, and a layer above it.
    """

    def __init__(self, command: Lamina, image: TestImage, base: TestImage) -> None:
        self.command = command
        self.image = image
        self.base = base
        seed = os.environ.get("LAMINA_CRASH_SEED") or str(random.SystemRandom().randrange(10**9))
        print(f"LAMINA_CRASH_SEED={seed}")  # shown when the test fails
        self._random = random.Random(seed)
        self._duration = 0.0

    def open(self) -> Storage:
        return open_storage(self.command.root, "overlay2")

    def measure(self, *arguments: str) -> None:
        """Run the command once to its end: later kills fall into a time as long."""
        started = time.monotonic()
        self.command(*arguments)
        self._duration = time.monotonic() - started

    def kill(self, *arguments: str) -> None:
        """Start the command and kill it at a random moment, in the second half more often than not."""
        process = self.command.start(*arguments)
        time.sleep(self._duration * self._random.triangular(0.2, 1.1, 0.7))
        process.kill()
        process.communicate()

    def check(self) -> Storage:
        """Nothing is unaccounted for, everything listed is whole."""
        wait_until(self._recovered, seconds=5, what="the end of a killed command's workers")
        storage = self.open()
        assert storage.findings(deep=True) == []
        for image in storage.images.all():
            with storage.layers.mounted_image(image.config.chain_id) as path:
                assert os.path.exists(f"{path}/bin/busybox")
        return storage

    def _recovered(self) -> bool:
        """Open the root, which recovers; whether no operation is left, not even one that only a worker still has."""
        return not self.open().layers.needs_recovery()

    def check_commands(self) -> None:
        """Every command works, every image that is listed runs."""
        for image in self.command("images", "-q", "--no-trunc").split():
            self.command("history", image)
            self.command("run", "--rm", "--network", "none", image, "true")
        for container in self.command("ps", "-aq").split():
            self.command("inspect", container)
            self.command("start", container)
            self.command("wait", container)

    def remove(self, name: str) -> None:
        """Remove an image if it is there."""
        storage = self.open()
        try:
            remove(storage.images, storage.layers, name, force=True)
        except NotFound:
            return


@pytest.fixture
def victim(lamina_on: Callable[..., Lamina], tmp_path: Path, busybox_image: TestImage) -> Iterator[Victim]:
    noise = random.Random(1).randbytes(200_000)
    files = LayerTar().directory("data").file("data/noise", noise)
    for number in range(50):
        files.file(f"data/{number}", str(number))
    image = TestImage([*busybox_image.layers, files.bytes()], config={"Cmd": ["true"]})
    with memory_file_system(str(tmp_path / "memory")) as memory:
        command = lamina_on(f"{memory}/root")
        yield Victim(command, image, busybox_image)
        command.remove_containers()


def each_kill(victim: Victim, command: str) -> Iterator[int]:
    """Numbers of the kills; after each the root is checked, and after some all commands."""
    for number in range(KILLS[command]):
        yield number
        victim.check()
        if number % 10 == 9:
            victim.check_commands()


def test_two_hundred_kills() -> None:
    assert sum(KILLS.values()) == 200


def test_load_is_whole_or_nothing(victim: Victim, tmp_path: Path) -> None:
    archive = victim.image.docker_archive(str(tmp_path / "image.tar"), "victim:1", "victim:2")
    victim.measure("load", "-i", archive)
    for _ in each_kill(victim, "load"):
        victim.remove(victim.image.image_id)
        victim.kill("load", "-i", archive)
    victim.command("load", "-i", archive)
    assert victim.check().names().keys() == {"victim:1", "victim:2"}


def test_pull_is_whole_or_nothing(victim: Victim, registry: Callable[..., Registry]) -> None:
    name = registry().upload(victim.image, "some/victim", "1")
    victim.measure("pull", name)
    for _ in each_kill(victim, "pull"):
        victim.remove(victim.image.image_id)
        victim.kill("pull", name)
        names = victim.open().names()
        assert not names or name in names, "a digest without its tag"
    victim.command("pull", name)
    victim.check_commands()


def test_commit_is_whole_or_nothing(victim: Victim) -> None:
    victim.open().add(victim.base, "base")
    victim.command("run", "--name", "worker", "--network", "none", "base", "sh", "-c", "echo made > /made")
    victim.measure("commit", "worker", "made")
    for _ in each_kill(victim, "commit"):
        victim.remove("made")
        victim.kill("commit", "worker", "made")
    victim.command("commit", "worker", "made")
    assert victim.command("run", "--rm", "--network", "none", "made", "cat", "/made") == "made\n"


def test_rm_is_whole_or_nothing(victim: Victim) -> None:
    victim.open().add(victim.base, "base")
    victim.command("create", "--name", "short", "base", "true")
    victim.measure("rm", "short")
    for _ in each_kill(victim, "rm"):
        if not victim.command("ps", "-aq"):
            victim.command("create", "--name", "short", "base", "true")
        victim.kill("rm", "short")
    victim.command.remove_containers()
    assert victim.check().layers.writables() == []


def test_rmi_is_whole_or_nothing(victim: Victim) -> None:
    victim.open().add(victim.image, "victim")
    victim.measure("rmi", "victim")
    for _ in each_kill(victim, "rmi"):
        victim.open().add(victim.image, "victim")
        victim.kill("rmi", "victim")
        storage = victim.open()
        assert bool(storage.images.ids()) == bool(storage.names()), "an image without its name"
