"""``lamina pause``."""

from __future__ import annotations

from lamina.cli.command import Command, Context, Options, at_least
from lamina.cli.container.each import for_each

COMMAND = Command(
    usage="CONTAINER [CONTAINER...]",
    summary="Pause all processes within one or more containers",
    arguments=at_least(1),
)


def run(context: Context, options: Options) -> int:
    service = context.engine().container_service

    def pause(name: str) -> str:
        service.pause(name)
        return name

    return for_each(context, options.arguments, pause)
