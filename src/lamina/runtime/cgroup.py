"""A container's control groups, version 1, hybrid and 2: what the runtime does not do for the engine.

Paths are those of ``linux.cgroupsPath``: relative to the root of each hierarchy. Formats: the kernel's
``admin-guide/cgroup-v1/memory.rst``, ``freezer-subsystem.rst`` and ``admin-guide/cgroup-v2.rst``.
"""

from __future__ import annotations

import os
import time
from _thread import allocate_lock, start_new_thread
from collections.abc import Callable

from lamina import signal
from lamina.contextlib import suppress
from lamina.errors import SystemFailure
from lamina.typing import NamedTuple

_HOME = "/sys/fs/cgroup"
#: The group of what watches over containers, on hosts with systemd.
MONITORS = "/lamina/monitors"
#: Controllers of the hierarchies in which systemd has its units, as ``/proc/<pid>/cgroup`` names them.
_UNITS = ("", "name=systemd")
_FREEZE_TIMEOUT = 10.0
#: How long the end of killed processes is waited for, and how long between two looks.
_END_SECONDS, _PAUSE = 1.0, 0.005
#: The kernel was seen to remember a grace period for 12 ms, not for 20; and each move interrupts what goes on beside.
_WARM_SECONDS = 0.008


class Delegation(NamedTuple):
    """A group of version 2 that an ordinary user may divide.

    :ivar path: of the group; containers are below it.
    :ivar join: has this process moved below it, from where it may start processes there.
    """

    path: str
    join: Callable[[], None]


#: Of the user whose namespace this process is in.
_delegations: list[Delegation] = []


def use(delegation: Delegation) -> None:
    """Have the groups of containers below one that was given away, in this process and its children."""
    _delegations.append(delegation)


def top() -> str:
    """Path of the group that those of containers are below; ``""`` for the root of each hierarchy."""
    return _delegations[-1].path if _delegations else ""


def join() -> None:
    """Move this process to where it may start processes in containers' groups: an ordinary user's; root's may anyhow.

    Raises :class:`~lamina.errors.SystemFailure`.
    """
    if _delegations:
        _delegations[-1].join()


def is_unified(home: str = _HOME) -> bool:
    """Whether the host has version 2 only."""
    return os.path.exists(os.path.join(home, "cgroup.controllers"))


def is_writable(home: str = _HOME) -> bool:
    """Whether this process may make groups: in an ordinary user's namespace only where one was given away."""
    return os.access(f"{home}{top()}" if is_unified(home) else f"{home}/pids", os.W_OK)


def oom_killed(path: str, home: str = _HOME) -> bool:
    """Whether the kernel killed something of the group for want of memory. To be asked before the group is deleted."""
    name = f"{path}/memory.events" if is_unified(home) else f"memory{path}/memory.oom_control"
    try:
        with open(f"{home.rstrip('/')}/{name.lstrip('/')}", "rb") as file:
            for line in file:
                key, _, value = line.partition(b" ")
                if key == b"oom_kill":
                    return int(value) > 0
    except OSError:
        pass
    return False


def warm_up(home: str = _HOME, membership: str = "/proc/self/cgroup", *, seconds: float = 0.3) -> Callable[[], None]:
    """Begin what the first move of a process between groups has to wait for; returns what ends it.

    The kernel waits for an RCU grace period (about 10 ms) before such a move, unless there was one just before. Moving
    this process to where it is changes nothing and, begun early, lets that time pass beside other work. It is repeated,
    for at most ``seconds``, since the move that counts must not come much later.
    """
    stop, done = allocate_lock(), allocate_lock()
    stop.acquire()
    done.acquire()
    end = time.monotonic() + seconds

    def move() -> None:
        try:
            with open(_own_group(home, membership) + "/cgroup.procs", "wb", buffering=0) as file:
                while file.write(b"0") and time.monotonic() < end:
                    if stop.acquire(timeout=_WARM_SECONDS):
                        break
        except OSError:
            pass  # not allowed, or no such hierarchy: then nothing is gained and nothing lost
        finally:
            done.release()

    def finish() -> None:
        stop.release()
        done.acquire()

    start_new_thread(move, ())
    return finish


def leave_unit(home: str = _HOME, membership: str = "/proc/self/cgroup") -> None:
    """Move this process out of the systemd unit that it is in, if it is in one: it is to outlive it.

    systemd kills what is left in a service's group when the service ends, and in a session's where it is told to. It
    knows its units' processes by version 2's hierarchy, or by its own of version 1. An ordinary user's process can only
    :func:`join`.
    """
    if _delegations:
        with suppress(SystemFailure):  # the runtime says what it may not do
            join()
        return
    with suppress(OSError), open(membership, encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            _, controllers, path = line.rstrip("\n").split(":", 2)
            if controllers not in _UNITS or not path.endswith((".service", ".scope")):
                continue
            place = "" if is_unified(home) else "/unified" if not controllers else "/systemd"
            group = f"{home}{place}{MONITORS}"
            # Only where there are such groups, and where this process may move to another one: not an ordinary user's.
            with suppress(OSError):
                os.makedirs(group, 0o755, exist_ok=True)
                with open(f"{group}/cgroup.procs", "wb", buffering=0) as procs:
                    procs.write(b"0")


def _own_group(home: str, membership: str) -> str:
    """Directory of a group that this process is in: version 1's ``pids`` where it exists, else version 2's."""
    unified = home
    with open(membership, encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            _, controllers, path = line.rstrip("\n").split(":", 2)
            if controllers == "pids":
                return f"{home}/pids{path}"
            if not controllers:
                unified = f"{home}{path}"
    return unified


def processes(path: str, home: str = _HOME) -> list[int]:
    """Pids of all processes of the group and the groups below it; none when it is gone."""
    top = f"{home}/{path.lstrip('/')}" if is_unified(home) else f"{home}/pids/{path.lstrip('/')}"
    found = []
    for directory, _, _ in os.walk(top):
        try:
            with open(f"{directory}/cgroup.procs", encoding="utf-8") as file:
                found += [int(line) for line in file]
        except OSError:
            continue
    return sorted(found)


def remove(path: str, home: str = _HOME) -> bool:
    """Remove a group without processes from every hierarchy; ``False`` when something is left for the runtime to do."""
    parents = [home] if is_unified(home) else [f"{home}/{name}" for name in os.listdir(home)]
    for parent in parents:
        try:
            os.rmdir(f"{parent}/{path.lstrip('/')}")
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:  # it has groups of its own, or a process that is about to end
            return False
    return True


def destroy(path: str, home: str = _HOME) -> None:
    """Kill what is in a group and remove it from every hierarchy, where the runtime did not come to do so.

    Idempotent. What the kernel does not let go within a second stays.
    """
    deadline = time.monotonic() + _END_SECONDS
    while not remove(path, home) and time.monotonic() < deadline:
        for pid in processes(path, home):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_PAUSE)


def freeze(path: str, home: str = _HOME) -> None:
    """Stop every process of the group; returns when they have stopped. Raises :class:`SystemFailure`."""
    _set_frozen(path, True, home)


def thaw(path: str, home: str = _HOME) -> None:
    """Let them run again."""
    _set_frozen(path, False, home)


def _set_frozen(path: str, frozen: bool, home: str) -> None:
    if not is_writable(home):
        raise SystemFailure("there are no control groups for this ordinary user's containers: no pause")
    group = f"{home}/{path.lstrip('/')}" if is_unified(home) else f"{home}/freezer/{path.lstrip('/')}"
    if is_unified(home):
        control, word, report, wanted = (
            "cgroup.freeze",
            "1" if frozen else "0",
            "cgroup.events",
            f"frozen {int(frozen)}",
        )
    else:
        control = report = "freezer.state"
        word = wanted = "FROZEN" if frozen else "THAWED"
    try:
        deadline = time.monotonic() + _FREEZE_TIMEOUT
        while True:
            # Version 1 stays at FREEZING while processes are forked; writing again goes on.
            with open(os.path.join(group, control), "w", encoding="utf-8") as file:
                file.write(word)
            with open(os.path.join(group, report), encoding="utf-8") as file:
                if wanted in file.read():
                    return
            if time.monotonic() > deadline:
                raise SystemFailure(f"{group}: processes did not {'stop' if frozen else 'go on'} in time")
            time.sleep(_PAUSE)
    except OSError as error:
        raise SystemFailure(f"{group}: {error.strerror}") from error
