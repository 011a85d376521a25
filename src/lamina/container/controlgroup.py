"""Where a container's control group is."""

from __future__ import annotations

import posixpath

from lamina.container.record import Container
from lamina.runtime import cgroup

PARENT = "/lamina"


def path(container_id: str, parent: str = "") -> str:
    """Its control group in each hierarchy. ``parent`` is ``HostConfig.CgroupParent``, which can't climb out."""
    return f"{cgroup.top()}{posixpath.normpath(f'/{parent}').rstrip('/') if parent else PARENT}/{container_id}"


def of(container: Container) -> str:
    """The same for a container."""
    return path(container.id, container.host_config.get("CgroupParent") or "")


def default_namespace() -> str:
    """Docker's default: ``private`` where only cgroup version 2 exists."""
    return "private" if cgroup.is_unified() else "host"
