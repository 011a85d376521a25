"""kill -9 of the command, the monitor and the container at any moment: what is left is what the state accounts for."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from support.command import Lamina
from support.mounts import mounts_below

pytestmark = [pytest.mark.root, pytest.mark.needs("crun")]

_ROUNDS = 8


def descendants(pid: int) -> list[int]:
    """Processes that ``pid`` has started, and theirs."""
    found = []
    with suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            found += [int(child), *descendants(int(child))]
    return found


def test_whatever_is_killed_nothing_is_left_over(lamina: Lamina, busybox_archive: str) -> None:
    lamina("load", "-q", "-i", busybox_archive)
    begun = time.monotonic()
    lamina("run", "--rm", "--network", "none", "busybox", "true")
    span = time.monotonic() - begun
    seed = random.randrange(1 << 32)
    dice = random.Random(seed)
    for number in range(_ROUNDS):
        name = f"victim{number}"
        flags = ["--rm"] if dice.random() < 0.3 else ["--restart", "always"] if dice.random() < 0.3 else []
        command = lamina.start(
            "run", "--name", name, "--network", "none", *flags, "busybox", "sleep", "5", stdout=subprocess.DEVNULL
        )
        time.sleep(dice.random() * 1.5 * span)
        targets = [command.pid, *descendants(command.pid)]
        with suppress(ProcessLookupError):
            os.kill(dice.choice(targets), signal.SIGKILL)
        if dice.random() < 0.5:
            lamina.run("exec", name, "true")
        lamina.run("rm", "-f", name)
        with suppress(subprocess.TimeoutExpired):
            command.wait(30)
        command.kill()
        command.communicate()
    lamina.remove_containers()
    left = [*mounts_below(lamina.root), *os.listdir(f"{lamina.root}/lamina/run"), *lamina("ps", "-aq").split()]
    assert left == [], f"seed {seed}"
    checked = lamina.run("system", "fsck", "--repair")
    assert checked.returncode == 0, f"seed {seed}: {checked.stdout}{checked.stderr}"
