"""``lamina stop``."""

from __future__ import annotations

from lamina.cli.command import Command, Context, Options, at_least
from lamina.cli.container.each import for_each
from lamina.cli.flags import integer

COMMAND = Command(
    usage="[OPTIONS] CONTAINER [CONTAINER...]",
    summary="Stop one or more running containers",
    arguments=at_least(1),
    flags=(integer("time", "Seconds to wait for stop before killing it", short="t", default=10),),
)


def run(context: Context, options: Options) -> int:
    service = context.engine().container_service
    timeout = options.integer("time") if options.given("time") else None

    def stop(name: str) -> str:
        service.stop(name, timeout)
        return name

    return for_each(context, options.arguments, stop)
