"""``lamina restart``."""

from __future__ import annotations

from lamina.cli.command import Command, Context, Options, at_least
from lamina.cli.container.each import for_each
from lamina.cli.flags import integer

COMMAND = Command(
    usage="[OPTIONS] CONTAINER [CONTAINER...]",
    summary="Restart one or more containers",
    arguments=at_least(1),
    flags=(integer("time", "Seconds to wait for stop before killing the container", short="t", default=10),),
)


def run(context: Context, options: Options) -> int:
    service = context.engine().container_service
    timeout = options.integer("time") if options.given("time") else None

    def restart(name: str) -> str:
        service.restart(name, timeout)
        return name

    return for_each(context, options.arguments, restart)
