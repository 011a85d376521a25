"""``lamina kill``."""

from __future__ import annotations

from lamina.cli.command import Command, CommandError, Context, Options, at_least
from lamina.cli.container.each import for_each
from lamina.cli.flags import text
from lamina.errors import Conflict, NotFound, SystemFailure

COMMAND = Command(
    usage="[OPTIONS] CONTAINER [CONTAINER...]",
    summary="Kill one or more running containers",
    arguments=at_least(1),
    flags=(text("signal", "Signal to send to the container", short="s", default="KILL"),),
)


def run(context: Context, options: Options) -> int:
    service = context.engine().container_service

    def kill(name: str) -> str:
        try:
            service.kill(name, options.text("signal"))
        except (Conflict, NotFound, SystemFailure) as error:
            raise CommandError(f"Error response from daemon: Cannot kill container: {name}: {error}") from error
        return name

    return for_each(context, options.arguments, kill)
