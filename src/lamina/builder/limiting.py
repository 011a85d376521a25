"""Limits of the containers of ``RUN``: what Docker's ``HostConfig`` says, checked once for the whole build."""

from __future__ import annotations

from collections.abc import Mapping

from lamina.container import defaults, limits
from lamina.container.configuring import InvalidSetting
from lamina.runtime import controllers
from lamina.typing import Any


def complete(wanted: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """``wanted`` without what this host can't do, and warnings for the user.

    :raises InvalidSetting: with Docker's message.
    """
    isolation = wanted.get("Isolation") or "default"
    if isolation.lower() != "default":
        raise InvalidSetting(f"Invalid isolation: \"{isolation}\" - linux only supports 'default'")
    whole = defaults.host_config(wanted, cgroup_namespace="")
    warnings = limits.examine(whole, controllers.read())
    members = {*wanted, "MemorySwap"} - {"Isolation"}
    return {name: whole[name] for name in members}, warnings
