"""Times, and the memory of trees of processes."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterable

_SAMPLE_SECONDS = 0.05
_LINES_OF_AN_ERROR = 5


class FailedCommandError(Exception):
    """A measured command ended with an error, so its time means nothing."""


def seconds(command: list[str]) -> float:
    """Wall time of one command. Its output goes to a file, as a script's would. Raises :class:`FailedCommandError`."""
    started = time.perf_counter()
    done = subprocess.run(
        command, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    elapsed = time.perf_counter() - started
    if done.returncode:
        tail = b"\n".join(done.stderr.splitlines()[-_LINES_OF_AN_ERROR:]).decode(errors="replace")
        raise FailedCommandError(f"{' '.join(command)}: exit {done.returncode}\n{tail}")
    return elapsed


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
    code = process.wait()
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
