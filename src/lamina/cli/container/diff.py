"""``lamina diff``."""

from __future__ import annotations

from lamina.cli.command import Command, CommandError, Context, Options, exactly

COMMAND = Command(
    usage="CONTAINER",
    summary="Inspect changes to files or directories on a container's filesystem",
    arguments=exactly(1),
)


def run(context: Context, options: Options) -> int:
    name = options.arguments[0]
    if not name:
        raise CommandError("Container name cannot be empty")
    out = context.binary_stdout
    for change in context.engine().container_service.changes(name):
        out.write(change.kind.encode() + b" " + change.path + b"\n")
    return 0
