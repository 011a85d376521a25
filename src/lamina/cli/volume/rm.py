"""``lamina volume rm``."""

from __future__ import annotations

from lamina.cli.command import Command, CommandError, Context, Options, at_least
from lamina.cli.flags import switch
from lamina.errors import LaminaError, NotFound

COMMAND = Command(
    usage="[OPTIONS] VOLUME [VOLUME...]",
    summary="Remove one or more volumes",
    description="Remove one or more volumes. You cannot remove a volume that is in use by a container.",
    arguments=at_least(1),
    flags=(switch("force", "Force the removal of one or more volumes", short="f"),),
)


def run(context: Context, options: Options) -> int:
    engine = context.engine()
    complaints = []
    for name in options.arguments:
        try:
            engine.volumes.remove(name, list(engine.container_service.volume_users(name)))
        except NotFound:
            if not options.on("force"):
                complaints.append(f"Error: No such volume: {name}")
                continue
        except LaminaError as error:
            complaints.append(f"Error response from daemon: {error}")
            continue
        context.print(name)
    if complaints:
        raise CommandError("\n".join(complaints))
    return 0
