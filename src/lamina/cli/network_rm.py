"""``lamina network rm``."""

from __future__ import annotations

from lamina.cli.command import Command, CommandError, Context, Options, at_least
from lamina.cli.each import for_each
from lamina.errors import NotFound

COMMAND = Command(
    usage="NETWORK [NETWORK...]",
    summary="Remove one or more networks",
    arguments=at_least(1),
)


def run(context: Context, options: Options) -> int:
    from lamina import events

    networks = context.engine().networks

    def remove(name: str) -> str:
        try:
            removed = networks.remove(name)
        except NotFound:
            raise CommandError(f"Error: No such network: {name}") from None
        actor = events.Actor("network", removed.id, {"name": removed.name, "type": removed.driver})
        events.tell(context.engine().root, actor, "destroy")
        return name

    return for_each(context, options.arguments, remove)
