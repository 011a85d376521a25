"""``lamina create``."""

from __future__ import annotations

from lamina.cli.command import Command, CommandError, Context, Options, at_least
from lamina.cli.container import creating

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
        # Unlike run, create leaves the engine's answer as it is.
        answer = error.text.removeprefix("lamina: ")
        if answer.startswith("Error response from daemon: "):
            raise CommandError(answer.partition("\n")[0].removesuffix("."), 1) from error
        raise
    context.print(container.id)
    return 0
