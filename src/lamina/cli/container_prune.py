"""``lamina container prune``."""

from __future__ import annotations

from lamina.cli import pruning
from lamina.cli.command import Context, Options
from lamina.errors import Conflict, NotFound

COMMAND = pruning.command("Remove all stopped containers")


def run(context: Context, options: Options) -> int:
    what = "all stopped containers"
    return pruning.run(context, options, what, lambda: prune_containers(context, options.filters()))


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
    return space, pruning.report("Containers", removed)
