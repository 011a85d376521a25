"""``lamina network rm``."""

from __future__ import annotations

from lamina.cli.command import Command, CommandError, Context, Options, at_least
from lamina.cli.container.each import for_each
from lamina.errors import NotFound

COMMAND = Command(
    usage="NETWORK [NETWORK...]",
    summary="Remove one or more networks",
    arguments=at_least(1),
)


def run(context: Context, options: Options) -> int:
    networks = context.engine().networks

    def remove(name: str) -> str:
        try:
            networks.remove(name)
        except NotFound:
            raise CommandError(f"Error: No such network: {name}") from None
        return name

    return for_each(context, options.arguments, remove)
