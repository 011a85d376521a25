"""``lamina container inspect``."""

from __future__ import annotations

from lamina.cli.command import Command, CommandError, Context, Options, at_least
from lamina.cli.flags import switch, text
from lamina.cli.inspecting import inspect
from lamina.errors import NotFound
from lamina.typing import TYPE_CHECKING, Any
from lamina.view import container as view

if TYPE_CHECKING:
    from lamina.engine import Engine

COMMAND = Command(
    usage="[OPTIONS] CONTAINER [CONTAINER...]",
    summary="Display detailed information on one or more containers",
    arguments=at_least(1),
    flags=(
        text("format", "Format the output using the given Go template", short="f"),
        switch("size", "Display total file sizes", short="s"),
    ),
)


def run(context: Context, options: Options) -> int:
    engine = context.engine()

    def find(name: str) -> dict[str, Any]:
        try:
            return container_document(engine, name, size=options.on("size"))
        except NotFound:
            raise CommandError(f"Error: No such container: {name}") from None

    return inspect(context, options.arguments, find, options.text("format"))


def container_document(engine: Engine, name: str, *, size: bool = False) -> dict[str, Any]:
    """``GET /containers/{id}/json``. Raises ``NotFound``."""
    service = engine.container_service
    container = service.get(name)
    sizes = service.sizes(container) if size else None
    document = view.inspect(container, service.graph_driver_data(container), sizes, service.links(container))
    if container.running:
        document["ExecIDs"] = service.exec_ids(container) or None
    return document
