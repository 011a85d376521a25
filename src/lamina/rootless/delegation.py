"""The control group that a user's systemd gives away: with version 2, and where the user has a session.

The keeper of the namespace is put into a transient unit with ``Delegate=yes``, a scope. Its group belongs to the user,
who divides it:

::

    lamina-<pid>.scope/keeper          the keeper
    lamina-<pid>.scope/monitors        whoever starts processes in the groups of containers
    lamina-<pid>.scope/lamina/<id>     a container

A process can only be moved between groups by somebody who may write to the group above both, which an ordinary user may
not do for that of the session. So systemd moves it (``AttachProcessesToUnit``), before it calls the runtime.
"""

from __future__ import annotations

import os
import time

from lamina.contextlib import suppress
from lamina.rootless.bus import Body, Bus, BusFailed
from lamina.runtime import cgroup

_HOME = "/sys/fs/cgroup"
_KEEPER, _MONITORS = "keeper", "monitors"
#: How long systemd may take to move the keeper, in seconds, and how long between two looks.
_LONGEST, _PAUSE = 3.0, 0.005


def make(keeper: int, uid: int) -> None:
    """Have a group for a new keeper. Raises :class:`BusFailed` or :class:`OSError` where there can be none."""
    if not cgroup.is_unified():
        return
    unit = f"lamina-{keeper}.scope"
    with Bus(_socket(uid), uid) as bus:
        bus.manager("StartTransientUnit", "ssa(sv)a(sa(sv))", scope(unit, keeper))
    deadline = time.monotonic() + _LONGEST
    while not (group := _group(keeper)).endswith(f"/{unit}"):
        if time.monotonic() > deadline:
            raise BusFailed(f"systemd did not make {unit} in time")
        time.sleep(_PAUSE)
    top = f"{_HOME}{group}"
    for name in (_MONITORS, _KEEPER):
        os.mkdir(f"{top}/{name}", 0o755)
    _write(f"{top}/{_KEEPER}/cgroup.procs", str(keeper))
    with open(f"{top}/cgroup.controllers", encoding="ascii") as file:
        for name in file.read().split():
            _write(f"{top}/cgroup.subtree_control", f"+{name}")


def scope(unit: str, pid: int) -> Body:
    """Arguments of ``StartTransientUnit`` for a scope that is given away, with a process in it."""
    properties = Body()
    properties.align(8).text("Description").signature("s").text("lamina: containers")
    properties.align(8).text("Delegate").signature("b").number(1)
    properties.align(8).text("PIDs").signature("au").numbers(pid)
    return Body().text(unit).text("fail").array(properties, 8).array(Body(), 8)


def use(keeper: int, uid: int) -> None:
    """Have containers of this process and its children in the keeper's group, where it has one."""
    group = _group(keeper)
    top = os.path.dirname(group)
    if not group.endswith(f".scope/{_KEEPER}"):
        return
    unit = os.path.basename(top)

    def join() -> None:
        if _group(os.getpid()).startswith(f"{top}/"):
            return
        with Bus(_socket(uid), uid) as bus:
            bus.manager("AttachProcessesToUnit", "ssau", Body().text(unit).text(f"/{_MONITORS}").numbers(os.getpid()))

    cgroup.use(cgroup.Delegation(top, join))


def _socket(uid: int) -> str:
    """Of the user's bus, where ``pam_systemd`` has it: not what somebody's environment says."""
    return f"/run/user/{uid}/bus"


def _group(pid: int) -> str:
    """Path of a process's group of version 2; ``""`` when there is none."""
    with suppress(OSError), open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            if line.startswith("0::"):
                return line[3:].rstrip("\n")
    return ""


def _write(path: str, text: str) -> None:
    with open(path, "wb", buffering=0) as file:
        file.write(text.encode())
