"""Values of the flags of ``run`` and ``create`` that are rarely given: docker's notations and messages.

Parsers raise ``ValueError`` with docker's reason.
"""

from __future__ import annotations

import re

from lamina import json
from lamina.cli.command import Options
from lamina.cli.flags import parse_integer
from lamina.typing import Any

_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kKmMgGtTpP])?[iI]?[bB]?\Z")
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_ULIMITS = frozenset(
    (
        *("core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss"),
        *("rtprio", "rttime", "sigpending", "stack"),
    )
)
_SYSCTLS = frozenset(
    (
        *("kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem"),
        *("kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced"),
    )
)
_DEVICE_RULE = re.compile(r"[acb] ([0-9]+|\*):([0-9]+|\*) [rwm]{1,3}\Z")


def size(text: str) -> int:
    """Bytes with binary units: ``64m``."""
    match = _SIZE.match(text)
    if match is None:
        raise ValueError(f"invalid size: '{text}'")
    return int(float(match[1]) * 1024 ** _POWERS[(match[2] or "").lower()])


def swap_size(text: str) -> int:
    """The same, ``-1`` for no limit."""
    return -1 if text == "-1" else size(text)


def processors(text: str) -> int:
    """``1.5`` or ``3/2`` processors in billionths."""
    from fractions import Fraction

    try:
        number = Fraction(text) * 10**9
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"failed to parse {text} as a rational number") from None
    if number.denominator != 1:
        raise ValueError("value is too precise")
    return int(number)


def ulimit(text: str) -> tuple[str, dict[str, Any]]:
    """``nofile=1024:2048``: the name, and a member of ``HostConfig.Ulimits``."""
    name, equals, limits = text.partition("=")
    if not equals:
        raise ValueError(f"invalid ulimit argument: {text}")
    if name not in _ULIMITS:
        raise ValueError(f"invalid ulimit type: {name}")
    values = limits.split(":")
    if len(values) > 2:
        raise ValueError(f"too many limit value arguments - {limits}, can only have up to two, `soft[:hard]`")
    soft = parse_integer(values[0])
    hard = parse_integer(values[1]) if len(values) == 2 else soft
    if hard != -1 and (soft == -1 or soft > hard):
        raise ValueError(f"ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}")
    return name, {"Name": name, "Hard": hard, "Soft": soft}


def sysctl(text: str) -> tuple[str, str]:
    """``net.core.somaxconn=100``, of the parameters that belong to a namespace."""
    name, equals, value = text.partition("=")
    if not equals or not (name in _SYSCTLS or name.startswith(("net.", "fs.mqueue."))):
        raise ValueError(f"sysctl '{text}' is not whitelisted")
    return name, value


def device_rule(text: str) -> str:
    """``c 1:3 rwm``."""
    if not _DEVICE_RULE.match(text):
        raise ValueError(f"invalid device cgroup format '{text}'")
    return text


def weighted_device(text: str) -> dict[str, Any]:
    """``/dev/sda:200``."""
    path, weight = _device_and(text)
    if not weight.isdecimal() or (int(weight) and not 10 <= int(weight) <= 1000):
        raise ValueError(f"invalid weight for device: {text}")
    return {"Path": path, "Weight": int(weight)}


def device_bytes(text: str) -> dict[str, Any]:
    """``/dev/sda:1mb``."""
    path, rate = _device_and(text)
    try:
        return {"Path": path, "Rate": size(rate)}
    except ValueError:
        raise ValueError(
            f"invalid rate for device: {text}. The correct format is <device-path>:<number>[<unit>]. "
            "Number must be a positive integer. Unit is optional and can be kb, mb, or gb"
        ) from None


def device_operations(text: str) -> dict[str, Any]:
    """``/dev/sda:100``."""
    path, rate = _device_and(text)
    if not rate.isdecimal():
        raise ValueError(
            f"invalid rate for device: {text}. The correct format is <device-path>:<number>. "
            "Number must be a positive integer"
        )
    return {"Path": path, "Rate": int(rate)}


def _device_and(text: str) -> tuple[str, str]:
    path, colon, rest = text.partition(":")
    if not colon or not path or ":" in rest:
        raise ValueError(f"bad format: {text}")
    if not path.startswith("/dev/"):
        raise ValueError(f"bad format for device path: {text}")
    return path, rest


def gpus(text: str) -> dict[str, Any]:
    """``all``, a number, ``device=0,1``: a member of ``HostConfig.DeviceRequests``."""
    request: dict[str, Any] = {"Driver": "", "Count": 0, "DeviceIDs": None, "Capabilities": [["gpu"]], "Options": {}}
    key, equals, value = text.partition("=")
    if equals and key == "device":
        request["DeviceIDs"] = value.split(",")
    elif text == "all":
        request["Count"] = -1
    else:
        try:
            request["Count"] = int(text)
        except ValueError:
            raise ValueError(f'count must be an integer: strconv.Atoi: parsing "{text}": invalid syntax') from None
    return request


# Flags whose values are checked after all were read


def isolation(options: Options) -> dict[str, Any]:
    """Members of ``HostConfig`` of ``--device`` and ``--security-opt``."""
    found: dict[str, Any] = {}
    if options.given("device"):
        found["Devices"] = [_device(text) for text in options.texts("device")]
    if options.given("security-opt"):
        found |= _security(options.texts("security-opt"))
    return found


def _device(text: str) -> dict[str, str]:
    path, *rest = text.split(":")
    inside, access = path, "rwm"
    if len(rest) > 2:
        raise ValueError(f"bad format for path: {text}")
    if len(rest) == 2:
        inside, access = rest
        if not _is_access(access):
            raise ValueError(f"bad mode specified: {access}")
    elif rest:
        inside, access = (path, rest[0]) if _is_access(rest[0]) else (rest[0], access)
    for place in (path, inside):
        if not place.startswith("/"):
            raise ValueError(f"{place} is not an absolute path")
    return {"PathOnHost": path, "PathInContainer": inside, "CgroupPermissions": access}


def _is_access(text: str) -> bool:
    return 0 < len(text) == len(set(text)) and set(text) <= set("rwm")


def _security(options: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    kept = []
    for option in options:
        key, equals, value = option.partition("=")
        if not equals and option != "no-new-privileges":
            key, colon, value = option.partition(":")
            if not colon:
                raise ValueError(f'Invalid --security-opt: "{option}"')
        if option == "systempaths=unconfined":
            found["MaskedPaths"] = found["ReadonlyPaths"] = []
        elif key == "seccomp" and value != "unconfined":
            kept.append(f"seccomp={_profile(value)}")
        else:
            kept.append(option)
    found["SecurityOpt"] = kept
    return found


def _profile(path: str) -> str:
    """A seccomp profile's JSON without what can be left out."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise ValueError(f"opening seccomp profile ({path}) failed: open {path}: {reason}") from None
    try:
        return json.dumps(json.loads(text), separators=(",", ":"))
    except ValueError as error:
        raise ValueError(f"compacting json for seccomp profile ({path}) failed: {error}") from None
