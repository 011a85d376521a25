"""``lamina rename``."""

from __future__ import annotations

from lamina.cli.command import Command, CommandError, Context, Options, exactly
from lamina.errors import LaminaError

COMMAND = Command(usage="CONTAINER NEW_NAME", summary="Rename a container", arguments=exactly(2))


def run(context: Context, options: Options) -> int:
    old, new = (word.strip() for word in options.arguments)
    if not old or not new:
        raise CommandError("Error: Neither old nor new names may be empty")
    try:
        context.engine().container_service.rename(old, new)
    except LaminaError as error:
        context.warn(f"Error response from daemon: {error}")
        raise CommandError(f"Error: failed to rename container named {old}") from error
    return 0
