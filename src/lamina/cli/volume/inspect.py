"""``lamina volume inspect``."""

from __future__ import annotations

from lamina.cli.command import Command, CommandError, Context, Options, at_least
from lamina.cli.flags import text
from lamina.cli.inspecting import inspect
from lamina.errors import NotFound
from lamina.typing import Any
from lamina.view.volume import inspect as volume_document

COMMAND = Command(
    usage="[OPTIONS] VOLUME [VOLUME...]",
    summary="Display detailed information on one or more volumes",
    arguments=at_least(1),
    flags=(text("format", "Format the output using the given Go template", short="f"),),
)


def run(context: Context, options: Options) -> int:
    volumes = context.engine().volumes

    def find(name: str) -> dict[str, Any]:
        try:
            return volume_document(volumes.get(name))
        except NotFound:
            raise CommandError(f"Error: No such volume: {name}") from None

    return inspect(context, options.arguments, find, options.text("format"))
