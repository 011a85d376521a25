"""Namespaces that a container shares with the host or with another container: ``--pid``, ``--ipc``, ``--uts``.

Rules and messages are those of Docker 20.10. Loaded only when a container shares one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from lamina.container.configuring import InvalidSetting
from lamina.container.parts import Parts
from lamina.container.record import Container
from lamina.contextlib import suppress
from lamina.errors import Conflict
from lamina.linux import mount
from lamina.typing import Any

_HOST, _CONTAINER = "host", "container:"
#: Flags of file systems for communication, which a bind mount has to name again.
_QUIET = ("nosuid", "noexec", "nodev")
_SHM = "/dev/shm"  # noqa: S108 - inside the container


class CanNotJoin(Conflict):
    """The other container has no namespace to share."""


def check(parts: Parts, container: Container) -> list[str]:
    """See :mod:`lamina.container.rare`."""
    host_config = container.host_config
    mode = host_config["IpcMode"]
    if mode not in ("private", "shareable", _HOST, "none") and not mode.startswith(_CONTAINER):
        raise InvalidSetting(f"Invalid IPC mode: {mode}")
    if not _valid(host_config["PidMode"], joinable=True):
        raise InvalidSetting(f"Invalid PID mode: {host_config['PidMode']}")
    if not _valid(host_config["UTSMode"], joinable=False):
        raise InvalidSetting(f"Invalid UTS mode: {host_config['UTSMode']}")
    if not _valid(host_config["UsernsMode"], joinable=False):
        raise InvalidSetting(f"Invalid userns mode: {host_config['UsernsMode']}")
    if host_config["UTSMode"] == _HOST and container.config["Hostname"]:
        raise InvalidSetting("conflicting options: hostname and the UTS mode")
    _resolve_names(parts, host_config)
    return []


def _valid(mode: str, *, joinable: bool) -> bool:
    return mode in ("", _HOST) or (joinable and mode.startswith(_CONTAINER))


def _resolve_names(parts: Parts, host_config: dict[str, Any]) -> None:
    """Let ``container:<name>`` name the container by its ID. Raises ``NoSuchContainer``."""
    for member in ("PidMode", "IpcMode"):
        kind, colon, name = host_config[member].partition(":")
        if colon and name:
            host_config[member] = f"{kind}:{parts.store.find(name)}"


def join(parts: Parts, container: Container) -> dict[str, str]:
    """Paths of what the start shares: namespaces by type, and ``shm``, the host path of ``/dev/shm``.

    The memory of a container that others may join is mounted here, where they can reach it; :func:`leave` unmounts it.

    :raises CanNotJoin: the other container does not run, or keeps it to itself.
    """
    found: dict[str, str] = {}
    pid_mode, ipc_mode = container.host_config["PidMode"], container.host_config["IpcMode"]
    if pid_mode.startswith(_CONTAINER):
        found["pid"] = _namespace(_running(parts, pid_mode), "pid")
    if ipc_mode.startswith(_CONTAINER):
        refusal = f"can't join IPC of container {ipc_mode.removeprefix(_CONTAINER)}: "
        other = _running(parts, ipc_mode, refusal)
        found["ipc"] = _namespace(other, "ipc")
        found["shm"] = _shared_memory(parts, other.id)
        if not os.path.isdir(found["shm"]):
            raise CanNotJoin(f"{refusal}non-shareable IPC (hint: use IpcMode:shareable for the donor container)")
    elif ipc_mode == "shareable":
        found["shm"] = _share_memory(parts, container)
    return found


def _running(parts: Parts, mode: str, refusal: str = "") -> Container:
    other = parts.store.load(parts.store.find(mode.removeprefix(_CONTAINER)))
    if not other.running:
        raise CanNotJoin(f"{refusal}container {other.id} is not running")
    return other


def _namespace(container: Container, kind: str) -> str:
    return f"/proc/{container.pid}/ns/{kind}"


def _shared_memory(parts: Parts, container_id: str) -> str:
    return f"{parts.store.directory(container_id)}/mounts/shm"


def _share_memory(parts: Parts, container: Container) -> str:
    path = _shared_memory(parts, container.id)
    leave(parts, container.id)
    parts.store.mounts_directory(container.id)
    os.mkdir(path, 0o700)
    size = f"mode=1777,size={int(container.host_config['ShmSize'])}"
    owners = parts.root.owners
    if owners.are_mapped:
        size += "".join(f",{word}={id}" for word, id in zip(("uid", "gid"), owners.root, strict=True))
    mount.mount("shm", path, "tmpfs", mount.MS_NOSUID | mount.MS_NODEV | mount.MS_NOEXEC, size)
    container.document["ShmPath"] = path
    return path


def leave(parts: Parts, container_id: str) -> None:
    """Unmount the memory that others may have joined. Idempotent."""
    path = _shared_memory(parts, container_id)
    if not os.path.isdir(path):
        return
    with suppress(OSError):
        mount.unmount(path, lazy=True)
    for directory in (path, os.path.dirname(path)):
        with suppress(OSError):
            os.rmdir(directory)


def write(document: dict[str, Any], container: Container, joined: Mapping[str, str]) -> None:
    """See :mod:`lamina.container.rare`."""
    host_config = container.host_config
    if host_config["UTSMode"] == _HOST:
        _drop(document, "uts")
        document.pop("hostname", None)
    if host_config["PidMode"] == _HOST:
        _drop(document, "pid")
    for namespace in document["linux"]["namespaces"]:
        if namespace["type"] in joined:
            namespace["path"] = joined[namespace["type"]]
    _write_shared_memory(document, str(host_config["IpcMode"]), joined)


def _write_shared_memory(document: dict[str, Any], mode: str, joined: Mapping[str, str]) -> None:
    mounts = document["mounts"]
    if mode == _HOST:
        _drop(document, "ipc")
        for one in mounts:
            # A host without the directory still has the file system: mounting it gives the namespace's.
            if (one["type"] == "mqueue" or one["source"] == "shm") and os.path.isdir(one["destination"]):
                one.update(type="bind", source=one["destination"], options=("rbind", *_QUIET))
    elif mode == "none":
        mounts[:] = [one for one in mounts if one["source"] != "shm"]
    elif "shm" in joined:
        for one in mounts:
            if one["source"] == "shm":
                one.update(type="bind", source=joined["shm"], options=("rbind", "rprivate", *_QUIET))


def _drop(document: dict[str, Any], kind: str) -> None:
    linux = document["linux"]
    linux["namespaces"] = [namespace for namespace in linux["namespaces"] if namespace["type"] != kind]
