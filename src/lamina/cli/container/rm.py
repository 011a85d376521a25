"""``lamina rm``."""

from __future__ import annotations

from lamina.cli.command import Command, CommandError, Context, Options, at_least
from lamina.cli.container.each import for_each
from lamina.cli.flags import switch
from lamina.errors import NotFound

COMMAND = Command(
    usage="[OPTIONS] CONTAINER [CONTAINER...]",
    summary="Remove one or more containers",
    arguments=at_least(1),
    flags=(
        switch("force", "Force the removal of a running container (uses SIGKILL)", short="f"),
        switch("link", "Remove the specified link", short="l"),
        switch("volumes", "Remove anonymous volumes associated with the container", short="v"),
    ),
)


def run(context: Context, options: Options) -> int:
    service = context.engine().container_service
    force, volumes, link = options.on("force"), options.on("volumes"), options.on("link")

    def remove(text: str) -> str | None:
        name = text.strip("/")
        if not name:
            raise CommandError("Container name cannot be empty")
        try:
            if link:
                service.unlink(name)
            else:
                service.remove(name, force=force, volumes=volumes)
        except NotFound as error:
            if force:  # docker says so and calls it a success
                context.warn(f"Error: {error}")
                return None
            raise CommandError(f"Error: {error}") from error
        return text

    return for_each(context, options.arguments, remove)
