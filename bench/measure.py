"""Times, and the memory of trees of processes."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterable
from typing import NamedTuple

_SAMPLE_SECONDS = 0.05
_LINES_OF_AN_ERROR = 5


class FailedCommandError(Exception):
    """A measured command ended with an error, so its time means nothing."""


class Timing(NamedTuple):
    """Seconds: by the clock, and of all cores together, daemons included."""

    wall: float
    cpu: float


def timing(command: list[str], daemons: Iterable[int]) -> Timing:
    """Run one command. Its output goes nowhere. Raises :class:`FailedCommandError`."""
    before = sum(_cpu(one) for one in _tree(list(daemons)))
    own_before = os.times()
    started = time.perf_counter()
    done = subprocess.run(
        command, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    wall = time.perf_counter() - started
    own = os.times()
    cpu = own.children_user + own.children_system - own_before.children_user - own_before.children_system
    cpu += sum(_cpu(one) for one in _tree(list(daemons))) - before
    if done.returncode:
        tail = b"\n".join(done.stderr.splitlines()[-_LINES_OF_AN_ERROR:]).decode(errors="replace")
        raise FailedCommandError(f"{' '.join(command)}: exit {done.returncode}\n{tail}")
    return Timing(wall, cpu)


def settle() -> None:
    """Let nobody pay for what somebody else has not written to disk yet. The page cache stays as it is, for all."""
    os.sync()


def peak_memory(command: list[str], daemons: Iterable[int]) -> int:
    """Largest sum, in bytes, of the proportional set sizes of ``command``, the daemons and all their descendants.

    Sampled, so a spike of less than a twentieth of a second may be missed.
    """
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = 0
    stopped = threading.Event()

    def sample() -> None:
        nonlocal peak
        while not stopped.is_set():
            peak = max(peak, sum(_pss(one) for one in _tree([process.pid, *daemons])))
            stopped.wait(_SAMPLE_SECONDS)

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        code = process.wait()
    finally:
        stopped.set()
        sampler.join()
    if code:
        raise FailedCommandError(f"{' '.join(command)}: exit {code}")
    return peak


def _tree(roots: list[int]) -> set[int]:
    found: set[int] = set()
    waiting = list(roots)
    while waiting:
        process = waiting.pop()
        if process in found:
            continue
        found.add(process)
        try:
            for thread in os.listdir(f"/proc/{process}/task"):
                with open(f"/proc/{process}/task/{thread}/children") as file:
                    waiting += [int(child) for child in file.read().split()]
        except OSError:
            continue  # it ended meanwhile
    return found


def _pss(process: int) -> int:
    try:
        with open(f"/proc/{process}/smaps_rollup") as file:
            for line in file:
                if line.startswith("Pss:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass  # it ended meanwhile
    return 0


def _cpu(process: int) -> float:
    """Seconds of CPU that a process and the children it has waited for have used."""
    try:
        with open(f"/proc/{process}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return 0.0  # it ended meanwhile; who waited for it has its time
    return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")
