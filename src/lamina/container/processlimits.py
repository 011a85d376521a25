"""Settings of a container's first process beyond its rights: ulimits, OOM score, kernel parameters, ``--init``.

Messages are those of Docker 20.10. Loaded only when a container has one of these settings.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Mapping

from lamina.container.configuring import InvalidSetting
from lamina.container.parts import Parts
from lamina.container.record import Container
from lamina.errors import NotFound
from lamina.linux import process, userns
from lamina.runtime.program import SEARCH
from lamina.typing import Any

#: Where the program of ``--init`` is in the container.
INIT_TARGET = "/sbin/docker-init"
#: Programs that reap orphans and pass signals on, and run without libraries.
_INITS = ("docker-init", "tini-static", "catatonit")
_UNLIMITED = (1 << 64) - 1


class InitMissing(NotFound):
    """``--init`` without a program for it."""


def check(parts: Parts, container: Container) -> list[str]:
    """See :mod:`lamina.container.rare`."""
    host_config, config = container.host_config, container.config
    for option in host_config.get("StorageOpt") or ():
        if option != "size":
            raise InvalidSetting(f"Unknown option {option}")
        raise InvalidSetting("--storage-opt is supported only for overlay over xfs with 'pquota' mount option")
    isolation = host_config["Isolation"]
    if isolation.lower() not in ("", "default"):
        raise InvalidSetting(f"Invalid isolation: \"{isolation}\" - linux only supports 'default'")
    driver = host_config["VolumeDriver"]
    if driver not in ("", "local") and _names_volumes(host_config, config):
        raise NotFound(f'error looking up volume plugin {driver}: plugin "{driver}" not found')
    warnings = []
    score = host_config["OomScoreAdj"]
    if not -1000 <= score <= 1000:
        raise InvalidSetting(f"Invalid value {score}, range for oom score adj is [-1000, 1000]")
    may_raise = _may_raise()
    if score < own_score() and not may_raise:
        warnings.append(f"This host can not lower the OOM score of a process to {score}. The container goes without.")
    for limit in host_config.get("Ulimits") or ():
        hard = _hard_limit(limit["Name"])
        if not may_raise and _number(limit["Hard"]) > hard:
            wanted = "unlimited" if limit["Hard"] < 0 else limit["Hard"]
            warnings.append(f"This host can not raise ulimit {limit['Name']} to {wanted}. It is {hard}.")
    return warnings


def _names_volumes(host_config: dict[str, Any], config: dict[str, Any]) -> bool:
    return bool(config.get("Volumes")) or any(not bind.startswith("/") for bind in host_config.get("Binds") or ())


def write(document: dict[str, Any], container: Container, joined: Mapping[str, str]) -> None:
    """See :mod:`lamina.container.rare`."""
    host_config = container.host_config
    first = document["process"]
    if host_config.get("Ulimits"):
        limits = {limit["type"]: limit for limit in first.get("rlimits") or ()}
        limits.update((limit["type"], limit) for limit in resource_limits(host_config["Ulimits"], raising=_may_raise()))
        first["rlimits"] = list(limits.values())
    score = int(host_config.get("OomScoreAdj") or 0)
    if score and (score >= own_score() or _may_raise()):
        first["oomScoreAdj"] = score
    if host_config.get("Sysctls"):
        document["linux"]["sysctl"] = {**document["linux"]["sysctl"], **host_config["Sysctls"]}
    if host_config.get("Init") and not host_config.get("PidMode"):
        first["args"] = [INIT_TARGET, "--", *first["args"]]
        document["mounts"].append(
            {"destination": INIT_TARGET, "type": "bind", "source": init_program(), "options": ("bind", "ro")}
        )


def resource_limits(ulimits: list[dict[str, Any]], *, raising: bool) -> list[dict[str, Any]]:
    """``process.rlimits`` of ``HostConfig.Ulimits``; cut to this process's own limits unless they may be raised."""
    found = []
    for limit in ulimits:
        hard, soft = _number(limit["Hard"]), _number(limit["Soft"])
        if not raising:
            hard = min(hard, _hard_limit(limit["Name"]))
        found.append({"type": f"RLIMIT_{limit['Name'].upper()}", "hard": hard, "soft": min(soft, hard)})
    return found


def _number(value: int) -> int:
    return _UNLIMITED if value < 0 else value


def _hard_limit(name: str) -> int:
    number = getattr(resource, f"RLIMIT_{name.upper()}", None)
    if number is None:  # locks: nothing has a limit of it any more
        return _UNLIMITED
    return _number(resource.getrlimit(number)[1])


def _may_raise() -> bool:
    return userns.is_initial() and "CAP_SYS_RESOURCE" in process.effective_capabilities()


def own_score() -> int:
    """OOM score of this process; a process without rights can only go above it."""
    with open("/proc/self/oom_score_adj", encoding="ascii") as file:
        return int(file.read())


def init_program(search: tuple[str, ...] = (*SEARCH, "/usr/libexec/docker", "/usr/libexec/podman")) -> str:
    """Host path of the program. Raises :class:`InitMissing`."""
    for name in _INITS:
        for directory in search:
            path = f"{directory}/{name}"
            if os.access(path, os.X_OK):
                return os.path.realpath(path)
    raise InitMissing('exec: "docker-init": executable file not found in $PATH: install tini or catatonit')
