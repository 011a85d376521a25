"""From a container's record to the runtime-spec document of its bundle."""

import os
import resource
from typing import Any, NamedTuple

from lamina.container import hostfiles, mounts
from lamina.container.record import Container
from lamina.errors import Unsupported
from lamina.linux import process
from lamina.oci import runtime as oci
from lamina.runtime import cgroup, filters

#: Networks of this version. ``default`` is a network of its own without interfaces but the loopback.
NETWORKS = ("none", "host")
CGROUP_PARENT = "/lamina"
_OPEN_FILES = 1 << 20
_SYSCTL = {"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647"}


class UnsupportedSetting(Unsupported):
    """A member of ``HostConfig`` that this version can't honour; ignoring it would be a surprise."""


class Prepared(NamedTuple):
    """A start's facts that are not in the record.

    :ivar filters: directory of compiled seccomp filters; ``None`` leaves compiling to the runtime.
    """

    root: str
    user: oci.User
    filters: str | None = None


def cgroups_path(container_id: str) -> str:
    return f"{CGROUP_PARENT}/{container_id}"


def encode(container: Container, prepared: Prepared) -> bytes:
    """``config.json``. Raises :class:`~lamina.runtime.seccomp.ProfileUnavailable`."""
    capabilities = _capabilities()
    host_config = container.host_config
    namespaces = ["mount", "uts", "pid", "ipc"]
    sysctl = {}
    if container.network_mode != "host":
        namespaces.append("network")
        sysctl = _SYSCTL
    if host_config.get("CgroupnsMode") == "private":
        namespaces.append("cgroup")
    seccomp = filters.default_filter(capabilities, prepared.filters)
    specification = oci.Specification(
        root=prepared.root,
        read_only=bool(host_config.get("ReadonlyRootfs")),
        process=_process(container, prepared.user, capabilities),
        hostname=container.config["Hostname"],
        mounts=tuple(_mounts(container)),
        namespaces=tuple(namespaces),
        cgroups_path=cgroups_path(container.id),
        masked_paths=tuple(host_config.get("MaskedPaths") or ()),
        readonly_paths=tuple(host_config.get("ReadonlyPaths") or ()),
        sysctl=sysctl,
        annotations={filters.ANNOTATION: seccomp.program} if seccomp.program else None,
    )
    return oci.encode(specification, seccomp.profile)


def _process(container: Container, user: oci.User, capabilities: tuple[str, ...]) -> oci.Process:
    config = container.config
    return oci.Process(
        args=tuple(container.command),
        env=tuple(environment(config)),
        cwd=config["WorkingDir"] or "/",
        user=user,
        terminal=bool(config["Tty"]),
        capabilities=capabilities,
        nofile=_open_files(),
    )


def environment(config: dict[str, Any]) -> list[str]:
    """The process's environment: Docker's own variables, the configured ones in their place or behind."""
    entries = {"PATH": oci.DEFAULT_PATH, "HOSTNAME": f"HOSTNAME={config['Hostname']}"}
    if config["Tty"]:
        entries["TERM"] = "TERM=xterm"
    for entry in config["Env"] or ():
        name, equals, _ = entry.partition("=")
        if equals:
            entries[name] = entry
        else:  # a name alone takes the variable away
            entries.pop(name, None)
    return list(entries.values())


def _capabilities() -> tuple[str, ...]:
    """Docker's default set, less what this process can't give: runtimes fail on those instead of going without.

    A program that root executes is permitted what is in the bounding set.
    """
    available = process.bounding_capabilities()
    return tuple(name for name in oci.DEFAULT_CAPABILITIES if name in available)


def _open_files() -> int:
    """Docker's 1048576 where the host lets us have it: raising a limit above the hard one fails the start."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)


def _mounts(container: Container) -> list[oci.Mount]:
    host_config = container.host_config
    points = list(container.mount_points.values())
    points += [
        {"Destination": target, "Type": mounts.TMPFS, "Options": options, "RW": True}
        for target, options in (host_config.get("Tmpfs") or {}).items()
    ]
    hidden = {str(point["Destination"]) for point in points}
    result = [mount for mount in oci.default_mounts(int(host_config["ShmSize"])) if mount.destination not in hidden]
    for member, _, target in hostfiles.FILES:
        if target not in hidden:
            result.append(oci.Mount(target, "bind", container.document[member], ("rbind", "rprivate")))
    return result + [_mount(point) for point in mounts.ordered(points)]


def _mount(point: dict[str, Any]) -> oci.Mount:
    read_only = () if point["RW"] else ("ro",)
    if point["Type"] == mounts.TMPFS:
        options = point["Options"] if "Options" in point else mounts.tmpfs_options(point.get("Spec") or {})
        words = tuple(word for word in options.split(",") if word)
        return oci.Mount(
            point["Destination"], "tmpfs", "tmpfs", ("noexec", "nosuid", "nodev", "rprivate", *read_only, *words)
        )
    propagation = (point["Propagation"],) if point.get("Propagation") else ()
    return oci.Mount(point["Destination"], "bind", source(point), ("rbind", *read_only, *propagation))


def source(point: dict[str, Any]) -> str:
    """Host path of a bind or volume; a link's target, as the runtime would bind the link's."""
    return os.path.realpath(str(point["Source"])) if point["Type"] == mounts.BIND else str(point["Source"])


def cgroup_namespace() -> str:
    """Docker's default: ``private`` where only cgroup version 2 exists."""
    return "private" if cgroup.is_unified() else "host"


def check_supported(host_config: dict[str, Any]) -> str:
    """The network mode to use. Raises :class:`UnsupportedSetting` for what this version can't do."""
    mode = host_config.get("NetworkMode") or "default"
    if mode == "default":
        mode = "none"
    if mode not in NETWORKS:
        raise UnsupportedSetting(f"network {mode} not found: this version knows the networks {' and '.join(NETWORKS)}")
    for member, wanted in (("Privileged", "--privileged"), ("VolumesFrom", "--volumes-from"), ("Devices", "--device")):
        if host_config.get(member):
            raise UnsupportedSetting(f"{wanted} is not supported by this version")
    return str(mode)
