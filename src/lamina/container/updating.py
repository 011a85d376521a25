"""``update``: other limits for a container, also while it runs.

Rules, messages and their order are those of Docker 20.10 (``container_unix.go``, ``daemon/update.go``).
"""

from __future__ import annotations

from collections.abc import Mapping

from lamina import events
from lamina.container import changing, defaults, limits
from lamina.container.lifecycle import reconcile
from lamina.container.parts import Parts
from lamina.container.record import DEAD, REMOVING, Container
from lamina.container.restarting import RestartPolicy
from lamina.errors import Conflict, LaminaError
from lamina.runtime import controllers
from lamina.runtime.controllers import Controllers
from lamina.typing import Any

#: Members that replace the container's own when they are not 0.
_REPLACED = (
    *("BlkioWeight", "CpuShares", "NanoCpus", "CpuPeriod", "CpuQuota", "CpusetCpus", "CpusetMems"),
    *("CpuRealtimePeriod", "CpuRealtimeRuntime", "Memory", "MemorySwap", "MemoryReservation", "KernelMemory"),
)
#: A new member, and the one that the container must not have already.
_EXCLUDING = (
    ("NanoCpus", "Nano CPUs", "CpuPeriod", "CPU Period"),
    ("NanoCpus", "Nano CPUs", "CpuQuota", "CPU Quota"),
    ("CpuPeriod", "CPU Period", "NanoCpus", "NanoCPUs"),
    ("CpuQuota", "CPU Quota", "NanoCpus", "NanoCPUs"),
)


#: ``PID_MAX_LIMIT`` of linux/threads.h: a limit that is none.
_MOST_PROCESSES = 4 << 20


class CanNotUpdate(Conflict):
    """The container stays as it was."""

    def __init__(self, container_id: str, reason: object) -> None:
        super().__init__(f"Cannot update container {container_id}: {reason}")


def update(parts: Parts, container_id: str, wanted: Mapping[str, Any]) -> list[str]:
    """Change the members of ``HostConfig`` in ``wanted``; warnings for the user.

    :raises InvalidArgument: a value makes no sense. Nothing has changed then.
    :raises CanNotUpdate: it does not fit the container, or the kernel refused.
    """
    parts.root.require_writable()
    changes = defaults.host_config(wanted, cgroup_namespace="host")
    host = controllers.read()
    policy = RestartPolicy.of(wanted) if "RestartPolicy" in wanted else None
    if policy is not None:
        policy.check()
    warnings = limits.examine(changes, host, update=True)
    with parts.store.lock(container_id):
        container = reconcile(parts, parts.store.load(container_id))
        if container.status in (DEAD, REMOVING):
            raise CanNotUpdate(container_id, 'Container is marked for removal and cannot be "update".')
        after = _merged(container, changes)
        if container.running:
            _apply(parts, container, _resources(changes, after, host))
        container.host_config.update(after)
        parts.store.save_host_config(container)
    if policy is not None:
        try:
            changing.set_restart_policy(parts, container_id, policy)
        except Conflict as error:
            raise CanNotUpdate(container_id, error) from None
    events.note(parts.root, container, "update")
    return warnings


def _merged(container: Container, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Members of the container's ``HostConfig`` as they are to be."""
    now = container.host_config
    for member, name, other, other_name in _EXCLUDING:
        if changes[member] > 0 and now[other] > 0:
            reason = f"{name} cannot be updated as {other_name} has already been set"
            raise CanNotUpdate(container.id, f"Conflicting options: {reason}")
    if changes["Memory"] > now["MemorySwap"] and not changes["MemorySwap"]:
        reason = (
            "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time"
        )
        raise CanNotUpdate(container.id, reason)
    after = {member: changes[member] for member in _REPLACED if changes[member]}
    if changes["PidsLimit"] is not None:
        after["PidsLimit"] = changes["PidsLimit"]
    return after


def _resources(changes: Mapping[str, Any], after: Mapping[str, Any], host: Controllers) -> dict[str, Any]:
    """What a running container's control groups are to get: only what changes."""
    found = limits.resources({member: value for member, value in changes.items() if member in after}, host)
    if after.get("MemorySwap", 0) < 0:  # a new container has no limit without saying so
        found.setdefault("memory", {})["swap"] = -1
    if after.get("PidsLimit", 1) <= 0:  # likewise
        found["pids"] = {"limit": _MOST_PROCESSES}
    return found


def _apply(parts: Parts, container: Container, resources: dict[str, Any]) -> None:
    if not resources:
        return
    run = parts.run_directory(container.id)
    try:
        parts.runtime().update(container.id, run.path, resources)
    except LaminaError as error:
        raise CanNotUpdate(container.id, error) from error
