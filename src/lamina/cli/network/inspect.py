"""``lamina network inspect``."""

from __future__ import annotations

from lamina.cli.command import Command, CommandError, Context, Options, at_least
from lamina.cli.flags import switch, text
from lamina.cli.inspecting import inspect
from lamina.errors import NotFound
from lamina.typing import Any
from lamina.view.network import inspect as network_document

COMMAND = Command(
    usage="[OPTIONS] NETWORK [NETWORK...]",
    summary="Display detailed information on one or more networks",
    arguments=at_least(1),
    flags=(
        text("format", "Format the output using the given Go template", short="f"),
        switch("verbose", "Verbose output for diagnostics", short="v"),
    ),
)


def run(context: Context, options: Options) -> int:
    networks = context.engine().networks

    def find(name: str) -> dict[str, Any]:
        try:
            network = networks.get(name)
        except NotFound:
            raise CommandError(f"Error: No such network: {name}") from None
        return network_document(network, networks.endpoints(network))

    return inspect(context, options.arguments, find, options.text("format"))
