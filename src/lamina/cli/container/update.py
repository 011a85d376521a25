"""``lamina update``."""

from __future__ import annotations

from lamina.cli.command import Command, CommandError, Context, Options, at_least
from lamina.cli.container.createflags import limits
from lamina.cli.container.createflags.lifecycle import parse_policy
from lamina.cli.container.each import for_each
from lamina.cli.flags import text

COMMAND = Command(
    usage="[OPTIONS] CONTAINER [CONTAINER...]",
    summary="Update configuration of one or more containers",
    arguments=at_least(1),
    flags=(*limits.CHANGEABLE, text("restart", "Restart policy to apply when a container exits")),
)


def run(context: Context, options: Options) -> int:
    from lamina.container.updating import update

    if not any(options.given(flag.name) for flag in COMMAND.flags):
        raise CommandError("you must provide one or more flags when using this command")
    wanted = limits.changes(options)
    if options.given("restart") and options.text("restart"):
        wanted["RestartPolicy"] = parse_policy(options.text("restart"))
    service = context.engine().container_service
    warnings: list[str] = []

    def change(name: str) -> str:
        warnings.extend(update(service.parts, service.id_of(name), wanted))
        return name

    try:
        return for_each(context, options.arguments, change)
    finally:
        for warning in warnings:
            context.print(warning)
