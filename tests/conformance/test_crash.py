"""A driver whose process is killed at any moment leaves only what it can find and reclaim."""

from __future__ import annotations

import os
import random
import signal
import time

import pytest

from lamina.graphdriver import open_driver
from lamina.graphdriver.contract import GraphDriver
from support.mounts import mounts_below
from support.stacks import Stacks, write


def work_forever(root: str, name: str, base: str) -> None:
    """Make, mount, change, unmount and remove layers on ``base`` until killed."""
    stacks = Stacks(open_driver(root, name))
    stacks._number = 1000
    while True:
        middle = stacks.layer(base, lambda root: write(f"{root}/middle"))
        with stacks.container(middle, volatile=True) as merged:
            write(f"{merged}/top")
            os.unlink(f"{merged}/base")
        stacks.driver.remove(middle)


def kill_at_a_random_moment(root: str, driver: GraphDriver, base: str, randomness: random.Random) -> None:
    child = os.fork()
    if child == 0:
        try:
            work_forever(root, driver.name, base)
        finally:
            os._exit(1)
    time.sleep(randomness.uniform(0.005, 0.08))
    os.kill(child, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


@pytest.mark.crash
def test_what_a_killed_process_left_is_reclaimed(driver: GraphDriver) -> None:
    root = os.path.dirname(driver.home)
    stacks = Stacks(driver)
    base = stacks.layer(None, lambda root: write(f"{root}/base", "kept"))
    kept = frozenset({base})
    before = stacks.tree(base)
    randomness = random.Random(20)  # the moments still depend on the machine
    for _ in range(40):
        kill_at_a_random_moment(root, driver, base, randomness)
        for problem in list(driver.problems(kept)):
            assert problem.repairable, problem
            driver.repair(problem)
        assert list(driver.problems(kept)) == []
        assert set(driver.ids()) == kept
        assert mounts_below(root) == []
    assert stacks.tree(base) == before
