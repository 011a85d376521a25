"""Containers as the Engine API's documents (Docker 20.10)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lamina.container import defaults
from lamina.container.record import Container
from lamina.oci import dockerconfig, timestamp
from lamina.typing import Any
from lamina.view import ports

_ENDPOINT = tuple(defaults.endpoint())
_NETWORK = (
    "Bridge",
    "SandboxID",
    "HairpinMode",
    "LinkLocalIPv6Address",
    "LinkLocalIPv6PrefixLen",
    "Ports",
    "SandboxKey",
    "SecondaryIPAddresses",
    "SecondaryIPv6Addresses",
)
#: Members of the default bridge endpoint that Docker repeats at the top.
_REPEATED = (
    "EndpointID",
    "Gateway",
    "GlobalIPv6Address",
    "GlobalIPv6PrefixLen",
    "IPAddress",
    "IPPrefixLen",
    "IPv6Gateway",
    "MacAddress",
)
_STATE = ("Running", "Paused", "Restarting", "OOMKilled", "Dead", "Pid", "ExitCode", "Error", "StartedAt", "FinishedAt")


def inspect(
    container: Container,
    graph_driver: Mapping[str, str],
    size: tuple[int, int] | None = None,
    links: Sequence[str] | None = None,
) -> dict[str, Any]:
    """``GET /containers/{id}/json``.

    :param graph_driver: what the graph driver says of the writable layer.
    :param links: ``HostConfig.Links`` with the names that the containers have now.
    :param size: ``SizeRw`` and ``SizeRootFs`` when they were asked for.
    """
    document = container.document
    result: dict[str, Any] = {
        "Id": container.id,
        "Created": container.created,
        "Path": document["Path"],
        "Args": document["Args"] or [],
        "State": _state(container),
        "Image": container.image_id,
    }
    for member in ("ResolvConfPath", "HostnamePath", "HostsPath", "LogPath", "Name"):
        result[member] = document.get(member) or ""
    result["RestartCount"] = document.get("RestartCount") or 0
    result["Driver"] = document["Driver"]
    result["Platform"] = document.get("OS") or "linux"
    for member in ("MountLabel", "ProcessLabel", "AppArmorProfile"):
        result[member] = document.get(member) or ""
    result["ExecIDs"] = None
    result["HostConfig"] = {**container.host_config, "Links": links}
    result["GraphDriver"] = {"Data": dict(graph_driver), "Name": document["Driver"]}
    if size is not None:
        result["SizeRw"], result["SizeRootFs"] = size
    result["Mounts"] = mounts(container)
    result["Config"] = dockerconfig.complete(container.config)
    result["NetworkSettings"] = _network_settings(document.get("NetworkSettings") or {})
    return result


def _state(container: Container) -> dict[str, Any]:
    state = container.state
    result = {"Status": container.status}
    result.update((member, state[member]) for member in _STATE)
    if state.get("Health"):
        result["Health"] = state["Health"]
    return result


def mounts(container: Container) -> list[dict[str, Any]]:
    """``Mounts``: what is mounted, by destination."""
    found = []
    for destination in sorted(container.mount_points):
        point = container.mount_points[destination]
        entry = {"Type": point.get("Type") or "bind"}
        if point.get("Name"):
            entry["Name"] = point["Name"]
        entry["Source"] = point.get("Source") or ""
        entry["Destination"] = destination
        if point.get("Driver"):
            entry["Driver"] = point["Driver"]
        entry["Mode"] = point.get("Relabel") or ""
        entry["RW"] = bool(point["RW"])
        entry["Propagation"] = point.get("Propagation") or ""
        found.append(entry)
    return found


def _network_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    empty = defaults.network_settings("none")
    result = {member: settings.get(member, empty[member]) for member in _NETWORK}
    networks = settings.get("Networks") or {}
    bridge = networks.get("bridge") or defaults.endpoint()
    result.update((member, bridge.get(member)) for member in _REPEATED)
    result["Networks"] = {
        name: {member: (endpoint or {}).get(member) for member in _ENDPOINT} for name, endpoint in networks.items()
    }
    return result


def summary(
    container: Container, now: float, size: tuple[int, int] | None = None, more_names: Sequence[str] = ()
) -> dict[str, Any]:
    """An entry of ``GET /containers/json``. ``now`` in seconds since 1970; ``more_names``: that it has by links."""
    settings = container.document.get("NetworkSettings") or {}
    result: dict[str, Any] = {
        "Id": container.id,
        "Names": [f"/{container.name}", *more_names],
        "Image": container.config.get("Image") or container.image_id,
        "ImageID": container.image_id,
        "Command": command_line(container.command),
        "Created": timestamp.nanoseconds(container.created) // 10**9,
        "Ports": ports.listed(settings.get("Ports") or {}) if container.running else [],
    }
    if size is not None:
        result["SizeRw"], result["SizeRootFs"] = size
    result["Labels"] = container.config.get("Labels") or {}
    result["State"] = container.status
    result["Status"] = status_text(container, now)
    result["HostConfig"] = {"NetworkMode": container.network_mode}
    result["NetworkSettings"] = {"Networks": _network_settings(settings)["Networks"]}
    result["Mounts"] = mounts(container)
    return result


def command_line(words: Sequence[str]) -> str:
    """The command as lists show it: arguments with a space in quotation marks of Docker's choice."""
    path, *arguments = words
    shown = [f"'{word}'" if " " in word and "'" not in word else word for word in arguments]
    return " ".join([path, *shown])


def status_text(container: Container, now: float) -> str:
    """``Up 3 minutes``, ``Exited (0) 2 hours ago``, ``Created``."""
    state = container.state
    if state["Running"]:
        up = human_duration(now - _seconds(state["StartedAt"]))
        if state["Paused"]:
            return f"Up {up} (Paused)"
        if state["Restarting"]:
            return f"Restarting ({container.exit_code}) {human_duration(now - _seconds(state['FinishedAt']))} ago"
        status = (state.get("Health") or {}).get("Status") or "none"
        return f"Up {up}" + {"none": "", "starting": " (health: starting)"}.get(status, f" ({status})")
    if state.get("RemovalInProgress"):
        return "Removal In Progress"
    if state["Dead"]:
        return "Dead"
    if state["StartedAt"] == timestamp.ZERO:
        return "Created"
    if state["FinishedAt"] == timestamp.ZERO:
        return ""
    return f"Exited ({container.exit_code}) {human_duration(now - _seconds(state['FinishedAt']))} ago"


def _seconds(text: str) -> float:
    return timestamp.nanoseconds(text) / 1e9


def human_duration(seconds: float) -> str:
    """Docker's words for a time span: ``About an hour``, ``3 weeks``."""
    hours = int(seconds / 3600 + 0.5)
    for limit, words in (
        (1, "Less than a second"),
        (2, "1 second"),
        (60, f"{int(seconds)} seconds"),
        (120, "About a minute"),
        (3600, f"{int(seconds / 60)} minutes"),
    ):
        if seconds < limit:
            return words
    if hours == 1:
        return "About an hour"
    for limit, unit, name in ((48, 1, "hours"), (24 * 14, 24, "days"), (24 * 60, 24 * 7, "weeks")):
        if hours < limit:
            return f"{hours // unit} {name}"
    return f"{hours // 24 // 30} months" if hours < 24 * 365 * 2 else f"{int(seconds / 3600) // 24 // 365} years"
