"""``lamina create``."""

from __future__ import annotations

from lamina.cli.command import Command, CommandError, Context, Options, at_least
from lamina.cli.container import creating
from lamina.errors import LaminaError

COMMAND = Command(
    usage="[OPTIONS] IMAGE [COMMAND] [ARG...]",
    summary="Create a new container",
    arguments=at_least(1),
    interspersed=False,
    flags=creating.FLAGS,
)


def run(context: Context, options: Options) -> int:
    try:
        request = creating.request(context, options, "create", detached=False)
        container = creating.create(context, options, request, "create")
    except CommandError as error:
        if not isinstance(error.__cause__, (LaminaError, OSError)):
            raise
        # Unlike run, create leaves the engine's answer as it is.
        raise CommandError(creating.answer(error.__cause__), 1) from error
    context.print(container.id)
    return 0
