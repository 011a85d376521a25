"""``lamina container prune``."""

from __future__ import annotations

from lamina.cli import pruning
from lamina.cli.command import Context, Options

COMMAND = pruning.command("Remove all stopped containers")


def run(context: Context, options: Options) -> int:
    what = "all stopped containers"
    return pruning.run(context, options, what, lambda: prune_containers(context, options.filters()))


def prune_containers(context: Context, wanted: dict[str, list[str]]) -> tuple[int, str]:
    """Bytes that came free, and what docker says of what was removed (``""`` for nothing)."""
    removed, space = context.engine().containers.prune(wanted)
    return space, pruning.report("Containers", removed)
