"""``lamina container prune``."""

from __future__ import annotations

from lamina.cli.command import NO_ARGUMENTS, Command, Context, Options
from lamina.cli.flags import filters, switch
from lamina.cli.units import human_size
from lamina.errors import Conflict, NotFound

COMMAND = Command(
    usage="[OPTIONS]",
    summary="Remove all stopped containers",
    arguments=NO_ARGUMENTS,
    flags=(
        filters(help="Provide filter values (e.g. 'until=<timestamp>')", short=""),
        switch("force", "Do not prompt for confirmation", short="f"),
    ),
)


def run(context: Context, options: Options) -> int:
    space, report = 0, ""
    if options.on("force") or _confirmed(context):
        space, report = prune_containers(context, options.filters())
    if report:
        context.print(report)
    context.print(f"Total reclaimed space: {human_size(space)}")
    return 0


def _confirmed(context: Context) -> bool:
    from lamina.cli.prompt import confirmed

    return confirmed(context, "WARNING! This will remove all stopped containers.")


def prune_containers(context: Context, wanted: dict[str, list[str]]) -> tuple[int, str]:
    """Bytes that came free, and what docker says of what was removed (``""`` for nothing)."""
    from lamina.view.pruning import prunable

    service = context.engine().container_service
    space = 0
    removed = []
    for container in prunable(service.listed(), wanted):
        size = service.size(container.id)
        try:
            service.remove(container.id)
        except (Conflict, NotFound):
            continue  # started or removed meanwhile
        space += size
        removed.append(container.id)
    return space, "\n".join(["Deleted Containers:", *removed, ""]) if removed else ""
