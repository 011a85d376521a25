"""``lamina system restore``."""

from __future__ import annotations

from lamina.cli.command import NO_ARGUMENTS, Command, CommandError, Context, Options

COMMAND = Command(
    usage="",
    summary="Start the containers whose restart policy wants them to run, after a reboot",
    arguments=NO_ARGUMENTS,
)


def run(context: Context, options: Options) -> int:
    failures = []
    for container, error in context.engine().container_service.restore():
        if error is None:
            context.print(container.name)
            context.stdout.flush()
        else:
            failures.append(f"Error: failed to start {container.name}: {error}")
    if failures:
        raise CommandError("\n".join(failures))
    return 0
