"""Settings that few containers have, and the modules that know them: imported only when a container has one.

Each module offers ``check(parts, container)``, which completes and corrects the record of a new container and returns
warnings for the user (or raises with Docker's message), and ``write(document, container, joined)``, which puts the
settings into the runtime-spec ``document`` of a start; ``joined`` is what :func:`lamina.container.sharing.join` found.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from lamina.container.mounts import subpath_of
from lamina.container.parts import Parts
from lamina.container.record import Container
from lamina.typing import Any, Protocol

_SHARING = ("PidMode", "IpcMode", "UTSMode", "UsernsMode")
_MODULES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "limits",
        (
            *("Memory", "MemorySwap", "MemoryReservation", "MemorySwappiness", "KernelMemory", "OomKillDisable"),
            *("NanoCpus", "CpuShares", "CpuPeriod", "CpuQuota", "CpuRealtimePeriod", "CpuRealtimeRuntime"),
            *("CpusetCpus", "CpusetMems", "CpuPercent", "PidsLimit", "IOMaximumIOps", "IOMaximumBandwidth"),
            *("BlkioWeight", "BlkioWeightDevice", "BlkioDeviceReadBps", "BlkioDeviceWriteBps"),
            *("BlkioDeviceReadIOps", "BlkioDeviceWriteIOps"),
        ),
    ),
    ("sharing", _SHARING),
    ("processlimits", ("Ulimits", "OomScoreAdj", "Sysctls", "Init", "StorageOpt", "Isolation", "VolumeDriver")),
    (
        "rights",
        (
            *("CapAdd", "CapDrop", "Privileged", "SecurityOpt", "PidMode", "IpcMode"),
            *("Devices", "DeviceCgroupRules", "DeviceRequests"),
        ),
    ),
)
#: Values that say as much as none.
_ORDINARY = {"IpcMode": "private", "Isolation": "default", "VolumeDriver": "local"}


#: What stands before the destination of a read-only volume, and of one that is mounted from another place.
_READ_ONLY, _SOURCE = "read-only ", "source "
_NO_PROPAGATION = ("", "private", "rprivate")


class _Aspect(Protocol):
    def check(self, parts: Parts, container: Container) -> list[str]: ...

    def write(self, document: dict[str, Any], container: Container, joined: Mapping[str, str]) -> None: ...


def check(parts: Parts, container: Container) -> list[str]:
    """Check, complete and correct the settings of a new container; warnings for the user.

    :raises InvalidArgument: with Docker's message.
    """
    warnings: list[str] = []
    for aspect in _aspects(container.host_config):
        warnings += aspect.check(parts, container)
    return warnings


def write(document: dict[str, Any], container: Container, joined: Mapping[str, str]) -> None:
    """Put the settings into the runtime-spec document of a start."""
    for mount in document["mounts"]:  # the runtime would make it writable again
        if f"{_READ_ONLY}{mount['destination']}" in joined:
            mount["options"] = (*mount["options"], "ro")
        mount["source"] = joined.get(f"{_SOURCE}{mount['destination']}", mount["source"])
    if joined.get("propagation"):
        document["linux"]["rootfsPropagation"] = joined["propagation"]
    for aspect in _aspects(container.host_config):
        aspect.write(document, container, joined)


def join(parts: Parts, container: Container) -> Mapping[str, str]:
    """What :func:`lamina.container.sharing.join` finds, and as ``propagation`` what the root's mounts propagate to.

    Volumes that are mounts, and parts of volumes, are mounted.

    :raises InvalidArgument: a bind mount can't propagate, or a part of a volume is none, with Docker's message.
    """
    found: dict[str, str] = {}
    if any((point.get("Propagation") or "") not in _NO_PROPAGATION for point in container.mount_points.values()):
        from lamina.container import propagation  # few containers need it

        found["propagation"] = propagation.of_root(container, parts.root.path)
    for point in container.mount_points.values():
        if point["Type"] == "volume" and parts.volumes.attach(str(point["Name"]), container.id):
            found[f"{_READ_ONLY}{point['Destination']}"] = "ro"
    points = [point for point in container.mount_points.values() if subpath_of(point)]
    if points:
        from lamina.container import subpaths  # the same

        placed = subpaths.place(parts.store.mounts_directory(container.id), points)
        found.update((f"{_SOURCE}{destination}", path) for destination, path in placed.items())
    if has_any(container.host_config, _SHARING):
        from lamina.container import sharing  # the same

        found.update(sharing.join(parts, container))
    return found


def leave(parts: Parts, container_id: str) -> None:
    """Undo what :func:`join` did. Idempotent."""
    mounts = f"{parts.store.directory(container_id)}/mounts"
    if os.path.isdir(mounts):
        from lamina.container import sharing, subpaths  # few containers need it

        sharing.leave(parts, container_id)
        subpaths.leave(mounts)
    parts.volumes.release(container_id)


def source_of(point: Mapping[str, Any], joined: Mapping[str, str]) -> str:
    """Host path of what is mounted at a mount point in a start."""
    return joined.get(f"{_SOURCE}{point['Destination']}", str(point["Source"]))


def _aspects(host_config: Mapping[str, Any]) -> Iterator[_Aspect]:
    for name, members in _MODULES:
        if has_any(host_config, members):
            aspect: _Aspect = __import__(f"lamina.container.{name}", fromlist=["check"])
            yield aspect


def has_any(host_config: Mapping[str, Any], members: tuple[str, ...]) -> bool:
    """Whether one of the members says something out of the ordinary."""
    for member in members:
        value = host_config.get(member)
        # A swappiness of 0 is a wish; elsewhere 0 is none.
        if (value or (value is not None and member == "MemorySwappiness")) and value != _ORDINARY.get(member):
            return True
    return False
