"""Rights and namespaces."""

from __future__ import annotations

from lamina.cli.command import CommandError, Options
from lamina.cli.container.createflags import mode, parsed
from lamina.cli.flags import Flag, integer, switch, text, texts
from lamina.typing import Any

FLAGS: tuple[Flag, ...] = (
    texts("cap-add", "Add Linux capabilities"),
    texts("cap-drop", "Drop Linux capabilities"),
    text("cgroup-parent", "Optional parent cgroup for the container"),
    text("cgroupns", "Cgroup namespace to use (host|private)"),
    texts("device", "Add a host device to the container"),
    texts("device-cgroup-rule", "Add a rule to the cgroup allowed devices list", parse=parsed("device_rule")),
    switch("disable-content-trust", "Skip image verification", default=True),
    text(
        "gpus",
        "GPU devices to add to the container ('all' to pass all GPUs)",
        type_name="gpu-request",
        parse=parsed("gpus"),
    ),
    switch("init", "Run an init inside the container that forwards signals and reaps processes"),
    text("ipc", "IPC mode to use"),
    text("isolation", "Container isolation technology"),
    integer("oom-score-adj", "Tune host's OOM preferences (-1000 to 1000)"),
    text("pid", "PID namespace to use"),
    switch("privileged", "Give extended privileges to this container"),
    text("runtime", "Runtime to use for this container"),
    texts("security-opt", "Security Options"),
    text("shm-size", "Size of /dev/shm", type_name="bytes", parse=parsed("size")),
    texts("sysctl", "Sysctl options", type_name="map", shown_default="map[]", parse=parsed("sysctl")),
    texts("ulimit", "Ulimit options", type_name="ulimit", shown_default="[]", parse=parsed("ulimit")),
    text("userns", "User namespace to use"),
    text("uts", "UTS namespace to use"),
)

#: Flags that become the member as they are when they were given.
_MEMBERS = (
    ("cap-add", "CapAdd"),
    ("cap-drop", "CapDrop"),
    ("cgroup-parent", "CgroupParent"),
    ("device-cgroup-rule", "DeviceCgroupRules"),
    ("init", "Init"),
    ("isolation", "Isolation"),
    ("oom-score-adj", "OomScoreAdj"),
    ("privileged", "Privileged"),
)


def config(options: Options) -> dict[str, Any]:
    return {}


def host_config(options: Options) -> dict[str, Any]:
    """Raises :class:`CommandError` with docker's words."""
    found = {member: options.value(name) for name, member in _MEMBERS if options.given(name)}
    for name, member, what, modes, joinable in (
        ("pid", "PidMode", "PID", ("host",), True),
        ("uts", "UTSMode", "UTS", ("host",), False),
        ("cgroupns", "CgroupnsMode", "CGROUP", ("host", "private"), False),
        ("userns", "UsernsMode", "USER", ("host",), False),
    ):
        if options.given(name) and options.text(name):
            found[member] = mode(name, options.text(name), what, modes, joinable=joinable)
    if options.text("ipc"):
        found["IpcMode"] = options.text("ipc")
    if options.text("runtime"):
        found["Runtime"] = options.text("runtime")
    if options.given("shm-size") and options.value("shm-size"):
        found["ShmSize"] = options.value("shm-size")
    if options.given("sysctl"):
        found["Sysctls"] = dict(sorted(_pairs(options, "sysctl")))
    if options.given("ulimit"):
        found["Ulimits"] = [limit for _, limit in sorted(dict(_pairs(options, "ulimit")).items())]
    if options.given("gpus"):
        found["DeviceRequests"] = [options.value("gpus")]
    if options.given("device") or options.given("security-opt"):
        from lamina.cli.container import createvalues

        try:
            found |= createvalues.isolation(options)
        except ValueError as error:
            raise CommandError(str(error)) from None
    return found


def _pairs(options: Options, name: str) -> list[tuple[str, Any]]:
    pairs = options.value(name)
    assert isinstance(pairs, list)
    return pairs
