"""``lamina build``: the flags about the containers of ``RUN``, which ``run`` has too."""

from __future__ import annotations

from lamina.cli.command import CommandError, Context, Options
from lamina.cli.container.createflags import isolation, limits, networking
from lamina.cli.flags import Flag
from lamina.typing import Any

#: Flag and the member of Docker's ``HostConfig``.
_MEMBERS = {
    "add-host": "ExtraHosts",
    "cgroup-parent": "CgroupParent",
    "cpu-period": "CpuPeriod",
    "cpu-quota": "CpuQuota",
    "cpu-shares": "CpuShares",
    "cpuset-cpus": "CpusetCpus",
    "cpuset-mems": "CpusetMems",
    "isolation": "Isolation",
    "memory": "Memory",
    "memory-swap": "MemorySwap",
    "shm-size": "ShmSize",
}
_OTHERS = ("disable-content-trust", "security-opt", "ulimit")

FLAGS: tuple[Flag, ...] = tuple(
    flag
    for flag in (*networking.FLAGS, *limits.FLAGS, *isolation.FLAGS)
    if flag.name in _MEMBERS or flag.name in _OTHERS
)


def host_config(context: Context, options: Options) -> dict[str, Any]:
    """Members of ``HostConfig`` as they were asked for, completed. Warnings go to standard error.

    Raises :class:`CommandError` and ``InvalidSetting`` with docker's words.
    """
    found = {member: options.value(name) for name, member in _MEMBERS.items() if options.given(name)}
    if options.given("ulimit"):
        pairs: Any = options.value("ulimit")
        found["Ulimits"] = [limit for _, limit in sorted(dict(pairs).items())]
    if options.given("security-opt"):
        from lamina.cli.container import createvalues

        try:
            found |= createvalues.isolation(options)
        except ValueError as error:
            raise CommandError(str(error)) from None
    if not found:
        return {}
    from lamina.builder.limiting import complete

    result, warnings = complete(found)
    for warning in warnings:
        context.warn(f"WARNING: {warning}")
    return result
