"""Names, addresses and ports."""

from __future__ import annotations

from typing import Any

from lamina.cli.command import Options
from lamina.cli.flags import Flag, text

FLAGS: tuple[Flag, ...] = (
    text("hostname", "Container host name", short="h"),
    text("network", 'Connect a container to a network ("none"|"host")', default="default", type_name="network"),
    text("net", "", default="default", hidden=True, into="network"),
)


def config(options: Options) -> dict[str, Any]:
    return {"Hostname": options.text("hostname")}


def host_config(options: Options) -> dict[str, Any]:
    return {"NetworkMode": options.text("network")}
