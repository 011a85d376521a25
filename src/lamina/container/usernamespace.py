"""Containers in a user namespace of their own (``userns-remap``): what they may not have, and who is who in them.

Rules and messages are those of Docker 20.10 (``daemon_unix.go``, ``oci_linux.go``). Loaded only on a data root whose
containers have other owners on the host.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator

from lamina.container.configuring import InvalidSetting
from lamina.container.parts import Parts
from lamina.container.record import Container
from lamina.errors import Conflict, Unsupported
from lamina.linux import userns
from lamina.owners import Owners, Range
from lamina.typing import Any

_CONTAINER = "container:"
#: Name of the link in the run directory that leads to the namespace.
LINK = "userns"
#: Groups that have no id in the namespace can't be allowed to ping.
_NO_SYSCTL = "net.ipv4.ping_group_range"


class CanNotShare(Conflict):
    """The other container's namespaces belong to the host's user namespace."""


def check(host_config: dict[str, Any]) -> None:
    """Raises :class:`InvalidSetting` for what only the host's own users may have."""
    if host_config["Privileged"]:
        raise InvalidSetting(
            "privileged mode is incompatible with user namespaces.  "
            "You must run the container in the host namespace when running privileged mode"
        )
    if host_config["NetworkMode"] == "host":
        raise InvalidSetting("cannot share the host's network namespace when user namespaces are enabled")
    if host_config["PidMode"] == "host":
        raise InvalidSetting("cannot share the host PID namespace when user namespaces are enabled")


def no_devices(directory: str) -> Unsupported:
    """What to raise where a container can't have a null device of its own."""
    return Unsupported(f"{directory} can hold no devices, which userns-remap needs: is it mounted nodev?")


def path(parts: Parts, container: Container, *, bridged: bool) -> str:
    """Path of the namespace that the runtime joins; ``""`` for one that it makes.

    Whoever shares a namespace of another container must be in the user namespace that it belongs to.

    :param bridged: whether the engine makes the container's network, and :func:`made` the namespace that owns it.
    :raises CanNotShare: the other container has none of its own.
    """
    for other in _partners(parts, container):
        if not parts.owners_for(other).are_mapped:
            raise CanNotShare(f"cannot share namespaces of container {other.id}: it runs in the host's user namespace")
        return f"/proc/{other.pid}/ns/user"
    return parts.run_directory(container.id).sub(LINK) if bridged else ""


def made(parts: Parts, container: Container) -> int:
    """A descriptor of the namespace that a network of its own is to belong to; :func:`path` leads to it."""
    partner = next(_partners(parts, container), None)
    if partner is not None:
        return os.open(f"/proc/{partner.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    descriptor = fresh(parts.root.owners)
    try:
        link_to(descriptor, parts.run_directory(container.id).sub(LINK))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def fresh(owners: Owners) -> int:
    """A descriptor of a new namespace, which lasts while it is open or somebody is in it."""
    return userns.fresh(owners.uids, owners.gids)


def link_to(descriptor: int, path: str) -> None:
    """Let ``path`` lead to a namespace that this process has open."""
    if os.path.islink(path):  # of the last run, when this is not the first
        os.unlink(path)
    os.symlink(f"/proc/{os.getpid()}/fd/{descriptor}", path)


def _partners(parts: Parts, container: Container) -> Iterator[Container]:
    """Containers whose namespaces it shares. Those that don't run are refused elsewhere."""
    for member in ("NetworkMode", "PidMode", "IpcMode"):
        mode = str(container.host_config.get(member) or "")
        if mode.startswith(_CONTAINER):
            other = parts.store.load(parts.store.find(mode.removeprefix(_CONTAINER)))
            if other.running:
                yield other


def write(document: dict[str, Any], owners: Owners, path: str) -> None:
    """Put it into the runtime-spec document of a start.

    :param path: of the namespace to join; ``""`` for a new one.
    """
    linux = document["linux"]
    namespace = {"type": "user", "path": path} if path else {"type": "user"}
    linux["namespaces"] = [*linux["namespaces"], namespace]
    linux["uidMappings"], linux["gidMappings"] = _mappings(owners.uids), _mappings(owners.gids)
    linux["sysctl"] = {key: value for key, value in linux["sysctl"].items() if key != _NO_SYSCTL}
    for limit in document["process"].get("rlimits") or ():
        # Set in the namespace, where nobody may raise a limit above the host's.
        highest = resource.getrlimit(getattr(resource, limit["type"]))[1] if hasattr(resource, limit["type"]) else -1
        if highest != resource.RLIM_INFINITY:
            limit.update(hard=min(limit["hard"], highest), soft=min(limit["soft"], highest))


def _mappings(ranges: tuple[Range, ...]) -> list[dict[str, int]]:
    return [{"containerID": one.inside, "hostID": one.outside, "size": one.size} for one in ranges]
