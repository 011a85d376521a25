"""From a container's record to the runtime-spec document of its bundle."""

import os
import resource
from collections.abc import Mapping
from types import MappingProxyType

from lamina.container import controlgroup, hostfiles, mounts, rare
from lamina.container.record import Container
from lamina.linux import process, userns
from lamina.oci import runtime as oci
from lamina.owners import SAME, Owners
from lamina.runtime import filters
from lamina.typing import Any, NamedTuple

_OPEN_FILES = 1 << 20
_SYSCTL = {"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647"}


class Prepared(NamedTuple):
    """A start's facts that are not in the record.

    :ivar filters: directory of compiled seccomp filters; ``None`` leaves compiling to the runtime.
    :ivar network: path of a network namespace to join; ``""`` for a new one, or the host's.
    :ivar joined: what :func:`lamina.container.sharing.join` found.
    :ivar owners: who somebody in the container is on the host.
    :ivar user_namespace: path of the one to join when these are mapped; ``""`` for a new one.
    :ivar apparmor: what :func:`apparmor_profile` gave.
    """

    root: str
    user: oci.User
    filters: str | None = None
    joined: Mapping[str, str] = MappingProxyType({})
    network: str = ""
    owners: Owners = SAME
    user_namespace: str = ""
    apparmor: str = ""


def encode(container: Container, prepared: Prepared) -> bytes:
    """``config.json``. Raises :class:`~lamina.runtime.seccomp.ProfileUnavailable`."""
    host_config = container.host_config
    capabilities, seccomp = _rights(host_config, prepared.filters)
    namespaces = ["mount", "uts", "pid", "ipc"]
    sysctl = {}
    if container.network_mode != "host":
        namespaces.append("network")
        # Not in another container's namespace.
        sysctl = {} if prepared.network.startswith("/proc/") else _sysctl()
    if host_config.get("CgroupnsMode") == "private":
        namespaces.append("cgroup")
    specification = oci.Specification(
        root=prepared.root,
        read_only=bool(host_config.get("ReadonlyRootfs")),
        process=_process(container, prepared.user, capabilities),
        hostname=container.config["Hostname"],
        mounts=tuple(_mounts(container)),
        namespaces=tuple(namespaces),
        cgroups_path=controlgroup.of(container),
        masked_paths=tuple(host_config.get("MaskedPaths") or ()),
        readonly_paths=tuple(host_config.get("ReadonlyPaths") or ()),
        sysctl=sysctl,
        annotations={filters.ANNOTATION: seccomp.program} if seccomp is not None and seccomp.program else None,
    )
    document = oci.document(specification)
    if prepared.apparmor:
        document["process"]["apparmorProfile"] = prepared.apparmor
    if prepared.network:
        joined = next(space for space in document["linux"]["namespaces"] if space["type"] == "network")
        joined["path"] = prepared.network
    rare.write(document, container, prepared.joined)
    if prepared.owners.are_mapped:
        from lamina.container import usernamespace  # few hosts have them

        usernamespace.write(document, prepared.owners, prepared.user_namespace)
    return oci.encode(document, None if seccomp is None else seccomp.profile)


def _sysctl() -> dict[str, str]:
    if userns.is_initial():
        return _SYSCTL
    # Groups that have no id here can't be allowed to ping; Docker allows none then.
    return {key: value for key, value in _SYSCTL.items() if key != "net.ipv4.ping_group_range"}


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


def _rights(host_config: dict[str, Any], kept: str | None) -> tuple[tuple[str, ...], filters.Filter | None]:
    """Capabilities and the seccomp filter for them.

    What this process can't give is left out: runtimes fail on it instead of going without. A program that root
    executes is permitted what is in the bounding set.
    """
    available = process.bounding_capabilities()
    if not rare.has_any(host_config, ("CapAdd", "CapDrop", "Privileged", "SecurityOpt")):
        names = tuple(name for name in oci.DEFAULT_CAPABILITIES if name in available)
        return names, filters.default_filter(names, kept)
    from lamina.container import rights  # few containers need it

    names = tuple(name for name in rights.capabilities(host_config) if name in available)
    return names, rights.seccomp(host_config, names, kept)


def apparmor_profile(host_config: dict[str, Any]) -> str:
    """Name of the AppArmor profile for a start, which is loaded then; ``""`` for none, as wherever the kernel lacks it.

    Rootless Docker goes without, as changing the profile takes rights in the host's namespace.

    :raises RuntimeFailed: it is not loaded. :raises ProfileNotLoadable: the default one can't be.
    """
    if not process.has_apparmor() or not userns.is_initial():
        return ""
    from lamina.runtime import apparmor  # many hosts have none

    wanted = ""
    if host_config.get("SecurityOpt"):
        from lamina.container import rights  # few containers need it

        wanted = rights.profile_names(host_config).get("AppArmorProfile", "")
    return apparmor.choose(wanted, privileged=bool(host_config.get("Privileged")))


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
    result = [mount for mount in _default_mounts(int(host_config["ShmSize"])) if mount.destination not in hidden]
    for member, _, target in hostfiles.FILES:
        if target not in hidden:
            result.append(oci.Mount(target, "bind", container.document[member], ("rbind", "rprivate")))
    return result + [_mount(point) for point in mounts.ordered(points)]


def _default_mounts(shm_size: int) -> list[oci.Mount]:
    found = oci.default_mounts(shm_size)
    if userns.is_initial() or userns.maps_range(6):
        return found
    # The group of terminals, 5, is nobody in a namespace of one id.
    return [one._replace(options=tuple(word for word in one.options if word != "gid=5")) for one in found]


def _mount(point: dict[str, Any]) -> oci.Mount:
    read_only = () if point["RW"] else ("ro",)
    if point["Type"] == mounts.TMPFS:
        options = point["Options"] if "Options" in point else mounts.tmpfs_options(point.get("Spec") or {})
        words = tuple(word for word in options.split(",") if word)
        return oci.Mount(
            point["Destination"], "tmpfs", "tmpfs", ("noexec", "nosuid", "nodev", "rprivate", *read_only, *words)
        )
    if point["Type"] == "overlay":  # of a build: what it changes is thrown away
        return oci.Mount(point["Destination"], "overlay", "overlay", tuple(point["Options"].split(",")))
    propagation = (point["Propagation"],) if point.get("Propagation") else ()
    return oci.Mount(point["Destination"], "bind", source(point), ("rbind", *read_only, *propagation))


def source(point: dict[str, Any]) -> str:
    """Host path of a bind or volume; a link's target, as the runtime would bind the link's."""
    return os.path.realpath(str(point["Source"])) if point["Type"] == mounts.BIND else str(point["Source"])
