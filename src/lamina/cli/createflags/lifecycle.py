"""How a container starts, stops and goes."""

from __future__ import annotations

from typing import Any

from lamina.cli.command import CommandError, Options
from lamina.cli.flags import Flag, integer, switch, text

FLAGS: tuple[Flag, ...] = (
    text("cidfile", "Write the container ID to the file"),
    text("name", "Assign a name to the container"),
    text("restart", "Restart policy to apply when a container exits", default="no"),
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
    policy = parse_policy(options.text("restart"))
    if options.on("rm") and policy["Name"] not in ("", "no"):
        raise CommandError("Conflicting options: --restart and --rm")
    return {
        "AutoRemove": options.on("rm"),
        "ContainerIDFile": options.text("cidfile"),
        "RestartPolicy": policy,
    }


def parse_policy(text: str) -> dict[str, Any]:
    """``--restart`` as ``HostConfig.RestartPolicy``. Raises :class:`CommandError` with docker's words."""
    name, *limits = text.split(":")
    if len(limits) > 1:
        raise CommandError("invalid restart policy format")
    digits = limits[0].removeprefix("-").removeprefix("+") if limits else "0"
    if not (digits.isascii() and digits.isdigit()):
        raise CommandError("maximum retry count must be an integer")
    return {"Name": name, "MaximumRetryCount": int(limits[0]) if limits else 0}
