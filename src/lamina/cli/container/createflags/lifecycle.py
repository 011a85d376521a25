"""How a container starts, stops and goes."""

from __future__ import annotations

from lamina.cli.command import CommandError, Options
from lamina.cli.flags import Flag, integer, switch, text, texts
from lamina.oci import timestamp
from lamina.typing import Any


def _duration(value: str) -> int:
    found = timestamp.duration(value)
    if found is None:
        raise ValueError(f'time: invalid duration "{value}"')
    return found


_TIMES = "(ms|s|m|h) (default 0s)"

FLAGS: tuple[Flag, ...] = (
    text("cidfile", "Write the container ID to the file"),
    text("health-cmd", "Command to run to check health"),
    text("health-interval", f"Time between running the check {_TIMES}", type_name="duration", parse=_duration),
    integer("health-retries", "Consecutive failures needed to report unhealthy"),
    text(
        "health-start-period",
        f"Start period for the container to initialize before starting health-retries countdown {_TIMES}",
        type_name="duration",
        parse=_duration,
    ),
    text("health-timeout", f"Maximum time to allow one check to run {_TIMES}", type_name="duration", parse=_duration),
    text("log-driver", "Logging driver for the container"),
    texts("log-opt", "Log driver options"),
    text("name", "Assign a name to the container"),
    switch("no-healthcheck", "Disable any container-specified HEALTHCHECK"),
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
    check = _health_check(options)
    if check:
        config["Healthcheck"] = check
    return config


_CHECK_MEMBERS = {
    "health-interval": "Interval",
    "health-timeout": "Timeout",
    "health-start-period": "StartPeriod",
    "health-retries": "Retries",
}


def _health_check(options: Options) -> dict[str, Any]:
    """``Config.Healthcheck``; members that are 0 are the image's."""
    command = options.text("health-cmd")
    values = {member: options.value(flag) or 0 for flag, member in _CHECK_MEMBERS.items()}
    given = {member: value for member, value in values.items() if value}
    if options.on("no-healthcheck"):
        if command or given:
            raise CommandError("--no-healthcheck conflicts with --health-* options")
        return {"Test": ["NONE"]}
    for flag, member in _CHECK_MEMBERS.items():
        value = values[member]
        if isinstance(value, int) and value < 0:
            raise CommandError(f"--{flag} cannot be negative")
    return {**({"Test": ["CMD-SHELL", command]} if command else {}), **given}


def host_config(options: Options) -> dict[str, Any]:
    policy = parse_policy(options.text("restart"))
    if options.on("rm") and policy["Name"] not in ("", "no"):
        raise CommandError("Conflicting options: --restart and --rm")
    return {
        "AutoRemove": options.on("rm"),
        "ContainerIDFile": options.text("cidfile"),
        "RestartPolicy": policy,
        "LogConfig": _log_config(options),
    }


def _log_config(options: Options) -> dict[str, Any]:
    driver = options.text("log-driver")
    given = dict(entry.partition("=")[::2] for entry in options.texts("log-opt"))
    if driver == "none" and given:
        raise CommandError("invalid logging opts for driver none")
    return {"Type": driver, "Config": given}


def parse_policy(text: str) -> dict[str, Any]:
    """``--restart`` as ``HostConfig.RestartPolicy``. Raises :class:`CommandError` with docker's words."""
    name, *limits = text.split(":")
    if len(limits) > 1:
        raise CommandError("invalid restart policy format")
    digits = limits[0].removeprefix("-").removeprefix("+") if limits else "0"
    if not (digits.isascii() and digits.isdigit()):
        raise CommandError("maximum retry count must be an integer")
    return {"Name": name, "MaximumRetryCount": int(limits[0]) if limits else 0}
