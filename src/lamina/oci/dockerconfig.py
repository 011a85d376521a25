"""Docker's ``container.Config`` as its Go structure marshals: every member in order, absent ones with their zero value.

Source: Docker Engine 20.10, ``api/types/container/config.go``. Members that the structure does not know are dropped,
as Go's decoder drops them.
"""

from __future__ import annotations

from collections.abc import Mapping

from lamina.typing import Any

#: Member, its zero value, and whether it is left out when it has that (``omitempty``).
_MEMBERS: tuple[tuple[str, Any, bool], ...] = (
    ("Hostname", "", False),
    ("Domainname", "", False),
    ("User", "", False),
    ("AttachStdin", False, False),
    ("AttachStdout", False, False),
    ("AttachStderr", False, False),
    ("ExposedPorts", None, True),
    ("Tty", False, False),
    ("OpenStdin", False, False),
    ("StdinOnce", False, False),
    ("Env", None, False),
    ("Cmd", None, False),
    ("Healthcheck", None, True),
    ("ArgsEscaped", False, True),
    ("Image", "", False),
    ("Volumes", None, False),
    ("WorkingDir", "", False),
    ("Entrypoint", None, False),
    ("NetworkDisabled", False, True),
    ("MacAddress", "", True),
    ("OnBuild", None, False),
    ("Labels", None, False),
    ("StopSignal", "", True),
    ("StopTimeout", None, True),
    ("Shell", None, True),
)
_HEALTHCHECK = ("Test", "Interval", "Timeout", "StartPeriod", "StartInterval", "Retries")


def complete(config: Mapping[str, Any]) -> dict[str, Any]:
    """``config`` with all of Docker's members in Docker's order; maps sorted by key as Go does."""
    out: dict[str, Any] = {}
    for name, zero, omitted in _MEMBERS:
        value = config.get(name)
        if value is None:
            value = zero
        if omitted and (value is None or (not value and name != "StopTimeout")):
            continue
        if name == "Healthcheck":
            value = {key: value[key] for key in _HEALTHCHECK if value.get(key)}
        elif isinstance(value, dict):
            value = {key: value[key] for key in sorted(value)}
        out[name] = value
    return out
