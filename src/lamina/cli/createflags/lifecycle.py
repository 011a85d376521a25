"""How a container starts, stops and goes."""

from __future__ import annotations

from typing import Any

from lamina.cli.command import Options
from lamina.cli.flags import Flag, integer, switch, text

FLAGS: tuple[Flag, ...] = (
    text("cidfile", "Write the container ID to the file"),
    text("name", "Assign a name to the container"),
    switch("rm", "Automatically remove the container when it exits"),
    text("stop-signal", "Signal to stop a container", default="SIGTERM"),
    integer("stop-timeout", "Timeout (in seconds) to stop a container"),
)


def config(options: Options) -> dict[str, Any]:
    config: dict[str, Any] = {}
    if options.given("stop-signal"):
        config["StopSignal"] = options.text("stop-signal")
    if options.given("stop-timeout"):
        config["StopTimeout"] = options.integer("stop-timeout")
    return config


def host_config(options: Options) -> dict[str, Any]:
    return {"AutoRemove": options.on("rm"), "ContainerIDFile": options.text("cidfile")}
