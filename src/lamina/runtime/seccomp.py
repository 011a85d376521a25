"""Seccomp profiles: from Docker's profile format to the runtime-spec's ``linux.seccomp``.

A profile lists rules with conditions: capabilities that the container has or lacks, architectures, a minimum kernel.
The runtime-spec has no conditions, so they are decided here. Format: moby's ``profiles/seccomp`` and
containers-common's ``seccomp.json``, which is the file that Debian ships.
"""

from __future__ import annotations

import os

from lamina import json
from lamina.errors import Unsupported
from lamina.typing import Any

#: Debian's golang-github-containers-common.
DEFAULT_PROFILE = "/usr/share/containers/seccomp.json"

#: ``os.uname().machine`` to Go's name and the seccomp name of the architecture.
_ARCHITECTURES = {
    "x86_64": ("amd64", "SCMP_ARCH_X86_64"),
    "aarch64": ("arm64", "SCMP_ARCH_AARCH64"),
    "armv7l": ("arm", "SCMP_ARCH_ARM"),
    "i686": ("386", "SCMP_ARCH_X86"),
    "ppc64le": ("ppc64le", "SCMP_ARCH_PPC64LE"),
    "s390x": ("s390x", "SCMP_ARCH_S390X"),
    "riscv64": ("riscv64", "SCMP_ARCH_RISCV64"),
}


class ProfileUnavailable(Unsupported):
    """The profile can't be read. Running without one would silently be another policy, so nothing runs."""


def default_profile(capabilities: tuple[str, ...], path: str = DEFAULT_PROFILE) -> bytes:
    """JSON text of ``linux.seccomp`` for a container with ``capabilities``.

    :raises ProfileUnavailable: the file is missing or malformed.
    """
    try:
        with open(path, "rb") as file:
            text = file.read()
    except OSError as error:
        raise ProfileUnavailable(
            f"seccomp profile {path}: {error.strerror}; install golang-github-containers-common"
        ) from error
    return encode(text, capabilities, path)


def encode(text: bytes, capabilities: tuple[str, ...], name: str) -> bytes:
    """The same for a profile's JSON ``text``, which messages call ``name``."""
    try:
        return json.dumps(convert(json.loads(text), capabilities), separators=(",", ":")).encode()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ProfileUnavailable(f"seccomp profile {name}: malformed: {error!r}") from error


def convert(profile: dict[str, Any], capabilities: tuple[str, ...]) -> dict[str, Any]:
    """``linux.seccomp`` for this machine."""
    machine = os.uname()
    go_name, seccomp_name = _ARCHITECTURES.get(machine.machine, (machine.machine, ""))
    host = _Host(frozenset(capabilities), go_name, _version(machine.release))
    result: dict[str, Any] = {
        "defaultAction": profile["defaultAction"],
        "architectures": _architectures(profile, seccomp_name),
        "syscalls": [_rule(rule) for rule in profile.get("syscalls") or () if host.applies(rule)],
    }
    if profile.get("defaultErrnoRet") is not None:
        result["defaultErrnoRet"] = profile["defaultErrnoRet"]
    return result


def _architectures(profile: dict[str, Any], native: str) -> list[str]:
    if profile.get("architectures"):
        return list(profile["architectures"])
    for entry in profile.get("archMap") or ():
        if entry["architecture"] == native:
            return [native, *(entry.get("subArchitectures") or ())]
    return [native] if native else []


def _rule(rule: dict[str, Any]) -> dict[str, Any]:
    # Docker's older profiles have one rule for each name.
    result: dict[str, Any] = {"names": rule.get("names") or [rule["name"]], "action": rule["action"]}
    if rule.get("args"):
        result["args"] = rule["args"]
    if rule.get("errnoRet") is not None:
        result["errnoRet"] = rule["errnoRet"]
    return result


def _version(release: str) -> tuple[int, int]:
    major, _, rest = release.partition(".")
    minor = rest.partition(".")[0].partition("-")[0]
    return (int(major), int(minor)) if major.isdigit() and minor.isdigit() else (0, 0)


class _Host:
    """What conditions are decided by."""

    def __init__(self, capabilities: frozenset[str], architecture: str, kernel: tuple[int, int]) -> None:
        self.capabilities = capabilities
        self.architecture = architecture
        self.kernel = kernel

    def applies(self, rule: dict[str, Any]) -> bool:
        includes = rule.get("includes") or {}
        excludes = rule.get("excludes") or {}
        if not self.capabilities.issuperset(includes.get("caps") or ()):
            return False
        if self.capabilities.intersection(excludes.get("caps") or ()):
            return False
        if includes.get("arches") and self.architecture not in includes["arches"]:
            return False
        if self.architecture in (excludes.get("arches") or ()):
            return False
        if includes.get("minKernel") and self.kernel < _version(includes["minKernel"]):
            return False
        return not (excludes.get("minKernel") and self.kernel >= _version(excludes["minKernel"]))
