"""``lamina rmi`` and ``lamina image rm``."""

from __future__ import annotations

from lamina.cli.command import Command, CommandError, Context, Options, at_least
from lamina.cli.flags import switch
from lamina.errors import LaminaError, NotFound
from lamina.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamina.image.removal import Removed

COMMAND = Command(
    usage="[OPTIONS] IMAGE [IMAGE...]",
    summary="Remove one or more images",
    arguments=at_least(1),
    flags=(
        switch("force", "Force removal of the image", short="f"),
        switch("no-prune", "Do not delete untagged parents"),
    ),
)


def run(context: Context, options: Options) -> int:
    images = context.engine().images
    force = options.on("force")
    complaints: list[str] = []
    fatal = False
    for name in options.arguments:
        try:
            if not name:
                raise NotFound(name)
            removed = images.remove(name, force=force, prune=not options.on("no-prune"))
        except NotFound:
            complaints.append(f"Error: No such image: {name}")
        except LaminaError as error:
            fatal = True
            complaints.append(f"Error response from daemon: {error}")
        else:
            for one in removed:
                context.print(removal_line(one))
    if complaints and (fatal or not force):
        raise CommandError("\n".join(complaints))
    for complaint in complaints:
        context.warn(complaint)
    return 0


def removal_line(removed: Removed) -> str:
    """``Untagged: nginx:latest`` or ``Deleted: sha256:...``."""
    from lamina.image.removal import Untagged

    return f"Untagged: {removed.reference}" if isinstance(removed, Untagged) else f"Deleted: {removed.id}"
