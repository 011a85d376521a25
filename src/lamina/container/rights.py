"""What a container may do: capabilities, seccomp, devices, ``--privileged`` and ``--security-opt``.

Rules and messages are those of Docker 20.10 (``oci/caps``, ``daemon_unix.go``, ``oci/devices_linux.go``). Loaded only
when a container asks for other rights than the default ones.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping

from lamina.container.configuring import InvalidSetting
from lamina.container.parts import Parts
from lamina.container.record import Container
from lamina.linux.process import CAPABILITIES, bounding_capabilities
from lamina.oci.runtime import DEFAULT_CAPABILITIES
from lamina.runtime import filters
from lamina.typing import Any

_ALL = "ALL"
_RULE = re.compile(r"([acb]) ([0-9]+|\*):([0-9]+|\*) ([rwm]{1,3})\Z")
_ACCESS = re.compile(r"[rwm]+\Z")
#: What a walk through the host's ``/dev`` leaves out: file systems of its own, and what every container has its own of.
_NO_DEVICES = frozenset(("pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev", "console"))


# When it is made


def check(parts: Parts, container: Container) -> list[str]:
    """See :mod:`lamina.container.rare`."""
    warnings = examine(container.host_config, bounding_capabilities())
    _adapt(container.host_config)
    container.document.update(profile_names(container.host_config))
    return warnings


def examine(host_config: dict[str, Any], available: frozenset[str]) -> list[str]:
    """Warnings for the user.

    :param available: capabilities that can be given.
    :raises InvalidSetting: with Docker's message.
    """
    for member in ("CapAdd", "CapDrop"):
        for name in host_config.get(member) or ():
            if _full_name(name) not in (_ALL, *CAPABILITIES):
                raise InvalidSetting(f'invalid {member}: unknown capability: "{_full_name(name)}"')
    for option in host_config.get("SecurityOpt") or ():
        _option(option)
    for rule in host_config.get("DeviceCgroupRules") or ():
        _rule(rule)
    for device in host_config.get("Devices") or ():
        access = device.get("CgroupPermissions") or ""
        if access and not _ACCESS.match(access):
            raise InvalidSetting(f"bad mode specified: {access}")
    missing = [name for name in _asked_for(host_config) if name not in available]
    if not missing:
        return []
    names = ", ".join(name.removeprefix("CAP_") for name in missing)
    return [f"This host can not give the capabilities {names}. The container goes without."]


def _adapt(host_config: dict[str, Any]) -> None:
    """Complete ``HostConfig`` as Docker does: what follows from being privileged or sharing the host's processes."""
    if host_config["Privileged"]:
        host_config["MaskedPaths"] = host_config["ReadonlyPaths"] = None
    options = host_config["SecurityOpt"]
    if any(option.partition("=")[0] == "label" for option in options or ()):
        return
    if host_config["Privileged"] or "host" in (host_config["IpcMode"], host_config["PidMode"]):
        host_config["SecurityOpt"] = [*(options or ()), "label=disable"]


def profile_names(host_config: dict[str, Any]) -> dict[str, Any]:
    """Members of ``config.v2.json`` that follow from the options."""
    found: dict[str, Any] = {}
    for option in host_config.get("SecurityOpt") or ():
        key, value = _option(option)
        if key == "apparmor":
            found["AppArmorProfile"] = value
        elif key == "seccomp":
            found["SeccompProfile"] = value
        elif key == "no-new-privileges":
            found["NoNewPrivileges"] = _boolean(value)
    return found


def _option(text: str) -> tuple[str, str]:
    """Key and value of a ``--security-opt``."""
    if text == "no-new-privileges":
        return text, "true"
    if text == "disable":
        return "label", text
    mark = "=" if "=" in text else ":"
    key, found, value = text.partition(mark)
    if not found:
        raise InvalidSetting(f'invalid --security-opt 1: "{text}"')
    known = key in ("label", "apparmor", "seccomp") or (key == "no-new-privileges" and _boolean(value) is not None)
    if not known:
        raise InvalidSetting(f'invalid --security-opt 2: "{text}"')
    return key, value


def _boolean(text: str) -> bool | None:
    """Go's ``strconv.ParseBool``; ``None`` for what is none."""
    if text in ("1", "t", "T", "TRUE", "true", "True"):
        return True
    return False if text in ("0", "f", "F", "FALSE", "false", "False") else None


# When it starts


def capabilities(host_config: dict[str, Any]) -> tuple[str, ...]:
    """Names that the container shall have, by the kernel's numbers; what the host can't give is still among them."""
    added = {_full_name(name) for name in host_config.get("CapAdd") or ()}
    dropped = {_full_name(name) for name in host_config.get("CapDrop") or ()}
    if host_config.get("Privileged"):
        return CAPABILITIES
    if _ALL in dropped:
        found = set(CAPABILITIES) if _ALL in added else added
    elif _ALL in added:
        found = set(CAPABILITIES) - dropped
    else:
        found = set(DEFAULT_CAPABILITIES) - dropped | added
    if found == set(DEFAULT_CAPABILITIES):
        return DEFAULT_CAPABILITIES
    return tuple(name for name in CAPABILITIES if name in found)


def _asked_for(host_config: dict[str, Any]) -> Iterator[str]:
    """Capabilities beyond the default ones."""
    return (name for name in capabilities(host_config) if name not in DEFAULT_CAPABILITIES)


def _full_name(name: str) -> str:
    upper = name.upper()
    return upper if upper == _ALL or upper.startswith("CAP_") else f"CAP_{upper}"


def seccomp(host_config: dict[str, Any], names: tuple[str, ...], directory: str | None) -> filters.Filter | None:
    """The filter; ``None`` for none.

    :raises ProfileUnavailable: the profile is missing or malformed.
    """
    profile = profile_names(host_config).get("SeccompProfile") or ""
    if profile == "unconfined" or host_config.get("Privileged"):
        return None
    if profile in ("", "default", "builtin"):
        return filters.default_filter(names, directory)
    return filters.custom_filter(profile.encode(), names, directory)


def write(document: dict[str, Any], container: Container, joined: Mapping[str, str]) -> None:
    """Devices and the rights on them, and what needs no new privileges; see :mod:`lamina.container.rare`.

    :raises InvalidSetting: a device is not there, with Docker's message.
    """
    host_config = container.host_config
    document["process"]["noNewPrivileges"] = bool(profile_names(host_config).get("NoNewPrivileges"))
    if host_config.get("DeviceRequests"):
        request = host_config["DeviceRequests"][0]
        wanted = "] [".join(" ".join(names) for names in request.get("Capabilities") or ())
        raise InvalidSetting(
            f'could not select device driver "{request.get("Driver") or ""}" with capabilities: [[{wanted}]]'
        )
    linux = document["linux"]
    mappings = host_config.get("Devices") or ()
    if host_config.get("Privileged"):
        linux["devices"] = [*_all_devices("/dev", "/dev"), *_renamed(mappings)]
        linux["resources"]["devices"] = [{"allow": True, "access": "rwm"}]
        _open_system_files(document, read_only=bool(host_config.get("ReadonlyRootfs")))
        return
    rules = list(linux["resources"]["devices"])
    devices = []
    for mapping in mappings:
        for device in _mapped(mapping):
            devices.append(device)
            numbers = {"type": device["type"], "major": device["major"], "minor": device["minor"]}
            rules.append({"allow": True, **numbers, "access": mapping.get("CgroupPermissions") or "rwm"})
    linux["devices"] = devices
    linux["resources"]["devices"] = rules + [_rule(text) for text in host_config.get("DeviceCgroupRules") or ()]


def _open_system_files(document: dict[str, Any], *, read_only: bool) -> None:
    """A privileged container may write to ``/sys``, and to control groups unless its root is read-only."""
    for mount in document["mounts"]:
        if mount["type"] == "sysfs" or (mount["type"] == "cgroup" and not read_only):
            mount["options"] = [option for option in mount["options"] if option != "ro"]


def _rule(text: str) -> dict[str, Any]:
    match = _RULE.match(text)
    if match is None:
        raise InvalidSetting(f"invalid device cgroup rule format: '{text}'")
    kind, major, minor, access = match.groups()
    rule: dict[str, Any] = {"allow": True, "type": kind, "access": access}
    rule.update((key, int(value)) for key, value in (("major", major), ("minor", minor)) if value != "*")
    return rule


def _mapped(mapping: dict[str, Any]) -> list[dict[str, Any]]:
    """Devices of one ``--device``: a device, or all of a directory."""
    path, inside = str(mapping["PathOnHost"]), str(mapping.get("PathInContainer") or mapping["PathOnHost"])
    real = os.path.realpath(path)
    if os.path.isdir(real):
        return list(_all_devices(real, inside))
    device = _device(real, inside)
    if device is None:
        reason = "no such file or directory" if not os.path.exists(real) else "not a device node"
        raise InvalidSetting(f'error gathering device information while adding custom device "{path}": {reason}')
    return [device]


def _renamed(mappings: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Devices that a privileged container is to have under another name besides."""
    differing = (one for one in mappings if (one.get("PathInContainer") or one["PathOnHost"]) != one["PathOnHost"])
    return [device for mapping in differing for device in _mapped(mapping)]


def _all_devices(directory: str, inside: str) -> Iterator[dict[str, Any]]:
    """Devices below the host's ``directory``, as if they were below ``inside``."""
    try:
        names = sorted(os.listdir(directory))
    except OSError:
        return
    for name in names:
        path = f"{directory}/{name}"
        if name in _NO_DEVICES:
            continue
        try:
            mode = os.lstat(path).st_mode
        except OSError:
            continue
        if stat.S_ISDIR(mode):
            yield from _all_devices(path, f"{inside}/{name}")
        else:
            device = _device(path, f"{inside}/{name}")
            if device is not None:
                yield device


def _device(path: str, inside: str) -> dict[str, Any] | None:
    """An entry of ``linux.devices`` for the device at host path ``path``; ``None`` when there is none."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    kind = "b" if stat.S_ISBLK(status.st_mode) else "c" if stat.S_ISCHR(status.st_mode) else ""
    if not kind:
        return None
    return {
        "path": inside,
        "type": kind,
        "major": os.major(status.st_rdev),
        "minor": os.minor(status.st_rdev),
        "fileMode": stat.S_IMODE(status.st_mode),
        "uid": status.st_uid,
        "gid": status.st_gid,
    }
