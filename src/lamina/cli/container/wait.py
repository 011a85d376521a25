"""``lamina wait``."""

from __future__ import annotations

from lamina.cli.command import Command, Context, Options, at_least
from lamina.cli.container.each import for_each

COMMAND = Command(
    usage="CONTAINER [CONTAINER...]",
    summary="Block until one or more containers stop, then print their exit codes",
    arguments=at_least(1),
)


def run(context: Context, options: Options) -> int:
    service = context.engine().container_service
    return for_each(context, options.arguments, lambda name: str(service.wait(name)))
