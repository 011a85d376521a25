"""The whole: short containers in a row, then kills, beside containers that run all the time."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import NamedTuple

from endurance.account import Account, Accountant, Memory
from endurance.containers import Containers
from endurance.kills import Kills, Left
from support import images
from support.command import Lamina

#: How often the account is taken while short containers come and go.
_CHECKED_EVERY = 50
#: How long what goes on in the background may take, in seconds.
_PATIENCE = 20.0
#: What a process may have more than before, in kilobytes: an allocator's blocks, not one leak a container.
_GROWTH = 512


class Task(NamedTuple):
    """What is asked for. :ivar work: a directory for everything that is on disk."""

    work: str
    containers: int
    kills: int
    seed: int


class Failed(Exception):
    """Something was left, or grew."""


class Course:
    """One run. ``tell`` is given a line now and then."""

    def __init__(self, task: Task, tell: Callable[[str], None]) -> None:
        self._task = task
        self._tell = tell
        self._dice = random.Random(task.seed)
        self._lamina = Lamina(f"{task.work}/root", f"{task.work}/docker-config")
        self._accountant = Accountant(self._lamina)
        self._containers = Containers(self._lamina)

    def run(self) -> None:
        """All of it. Raises :class:`Failed`."""
        task = self._task
        self._tell(f"endurance: {task.containers} containers, {task.kills} kills, seed {task.seed}, in {task.work}")
        archive = images.busybox_image().docker_archive(f"{task.work}/busybox.tar", "busybox:latest")
        self._lamina("load", "-q", "-i", archive)
        empty = self._accountant.take()
        self._containers.begin_steady()
        for number, kind in enumerate(Containers.KINDS):  # directories and caches that the first of a kind makes
            kind(self._containers, f"first{number}")
        before, memory = self._accountant.settled(), self._accountant.memory()
        if unseen := [kind for kind, names in before.items() if not names - empty[kind]]:
            raise Failed(f"the account is blind to what is there of containers that run: {', '.join(unseen)}")
        self._short_containers(before)
        self._kills(before)
        self._compare("after the kills", before)
        self._compare_memory(memory)
        self._end(empty)

    def _short_containers(self, before: Account) -> None:
        begun = time.monotonic()
        for number in range(self._task.containers):
            kind = self._dice.choice(Containers.KINDS)
            try:
                kind(self._containers, f"short{number}")
            except AssertionError as error:
                raise Failed(f"container {number}, {kind.__name__}: {error}") from error
            done = number + 1
            if done % _CHECKED_EVERY == 0 or done == self._task.containers:
                self._compare(f"after {done} containers", before)
                self._tell(f"{done} containers in {time.monotonic() - begun:.1f} s: nothing left")

    def _kills(self, before: Account) -> None:
        begun = time.monotonic()
        kills = Kills(self._lamina, self._accountant, self._dice)
        for number in range(self._task.kills):
            try:
                kills.round(f"victim{number}", before)
            except Left as error:
                raise Failed(f"kill {number}:\n{error}") from error
            done = number + 1
            if done % _CHECKED_EVERY == 0 or done == self._task.kills:
                counts = ", ".join(f"{count} {kind}" for kind, count in sorted(kills.killed.items()))
                self._tell(f"{done} kills in {time.monotonic() - begun:.1f} s ({counts}): nothing left")

    def _compare(self, when: str, before: Account) -> None:
        if lines := self._accountant.difference(before, _PATIENCE):
            raise Failed("\n".join([when, *lines]))

    def _compare_memory(self, before: dict[int, Memory]) -> None:
        """Processes that were there all the time have what they had."""
        now = self._accountant.memory()
        grown = []
        for pid, old in before.items():
            new = now[pid]
            line = f"{old.resident} to {new.resident} kB, {old.descriptors} to {new.descriptors} descriptors"
            self._tell(f"process {pid}: {line}: {old.name[:60]}")
            if new.descriptors > old.descriptors or new.resident > old.resident + _GROWTH or new.threads > old.threads:
                grown.append(f"process {pid} ({old.name}) grew: {line}, {old.threads} to {new.threads} threads")
        if grown:
            raise Failed("\n".join(grown))

    def _end(self, empty: Account) -> None:
        """Remove the rest: what is there then is what was there before, but for files that stay with a root in use."""
        self._lamina.remove_containers()
        self._lamina("system", "prune", "-f", "--volumes")
        files = {kind: names for kind, names in empty.items() if kind != "file"}
        self._compare("at the end", files)
        checked = self._lamina.run("system", "fsck")
        if checked.returncode != 0:
            raise Failed(f"system fsck: {checked.stdout}{checked.stderr}")
        self._tell("all removed: nothing left, and system fsck finds nothing")
