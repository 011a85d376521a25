"""The processes of a container as ``ps`` shows them: ``docker top``."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from lamina import events
from lamina.container import controlgroup
from lamina.container.lifecycle import current
from lamina.container.parts import Parts
from lamina.container.record import RESTARTING
from lamina.container.states import IsRestarting, NotRunning
from lamina.contextlib import suppress
from lamina.errors import InvalidArgument, SystemFailure
from lamina.runtime import cgroup

#: ``NAME=TITLE`` of ``ps -o``: another title for a column, which could hide the numbers that lines are chosen by.
_RENAMED = re.compile(r"\s+([\w,]*)=\s*PID\b")


class ProcessListFailed(SystemFailure):
    """``ps`` did not answer, or nothing that can be understood."""


def top(parts: Parts, container_id: str, arguments: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Titles and rows of ``ps ARGUMENTS`` (default ``-ef``) on the host, for the container's processes only.

    :raises NotRunning: :raises IsRestarting: :raises ProcessListFailed: with Docker's messages.
    """
    container = current(parts, container_id)
    if not container.running:
        raise NotRunning(container.id)
    if container.status == RESTARTING:
        raise IsRestarting(container.id)
    words = " ".join(arguments).split() or ["-ef"]
    renamed = _RENAMED.search(" ".join(["ps", *words]))
    if renamed is not None:
        raise InvalidArgument(f'specifying "{renamed[0].strip()}" is not allowed')
    processes = cgroup.processes(controlgroup.of(container)) or in_pid_namespace(container.pid)
    found = _parse(_ps(words, processes), frozenset(processes))
    events.note(parts.root, container, "top")
    return found


def in_pid_namespace(pid: int) -> list[int]:
    """Processes in the same pid namespace: where an ordinary user's containers have no control group."""
    found = []
    with suppress(OSError):
        wanted = os.stat(f"/proc/{pid}/ns/pid").st_ino
        for name in os.listdir("/proc"):
            with suppress(OSError):
                if name.isdecimal() and os.stat(f"/proc/{name}/ns/pid").st_ino == wanted:
                    found.append(int(name))
    return sorted(found)


def _ps(words: list[str], processes: list[int]) -> str:
    import subprocess  # slow to import

    chosen = f"-q{','.join(map(str, processes))}"
    try:
        # Some options do not go together with -q.
        for command in (["ps", *words, chosen], ["ps", *words]):
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
            if done.returncode == 0:
                return done.stdout
    except OSError as error:
        raise ProcessListFailed(f"error running ps: {error.strerror}") from error
    raise ProcessListFailed(f"ps: {done.stderr.partition(chr(10))[0]}")


def _parse(output: str, processes: frozenset[int]) -> tuple[list[str], list[list[str]]]:
    first, *lines = output.splitlines() or [""]
    titles = first.split()
    if "PID" not in titles:
        raise ProcessListFailed("Couldn't find PID field in ps output")
    index = titles.index("PID")
    rows = []
    for line in lines:
        fields = line.split(maxsplit=len(titles) - 1)
        if len(fields) <= index:
            continue
        if not fields[index].isdecimal():
            raise ProcessListFailed(f"Unexpected pid '{fields[index]}'")
        if int(fields[index]) in processes:
            rows.append([" ".join(field.split()) for field in fields])
    return titles, rows
