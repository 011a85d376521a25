"""``lamina top``."""

from __future__ import annotations

from lamina.cli.command import Command, Context, Options, at_least
from lamina.cli.table import table

COMMAND = Command(
    usage="CONTAINER [ps OPTIONS]",
    summary="Display the running processes of a container",
    arguments=at_least(1),
    interspersed=False,
)

#: Least width of a column, as docker's.
_WIDTH = 20


def run(context: Context, options: Options) -> int:
    from lamina.container.processes import top

    name, *words = options.arguments
    service = context.engine().container_service
    titles, rows = top(service.parts, service.id_of(name), words)
    context.stdout.write(table(titles, rows, least=_WIDTH))
    return 0
