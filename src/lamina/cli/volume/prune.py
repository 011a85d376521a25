"""``lamina volume prune``."""

from __future__ import annotations

from lamina.cli import pruning
from lamina.cli.command import Context, Options

COMMAND = pruning.command("Remove all unused local volumes", example="label=<label>")


def run(context: Context, options: Options) -> int:
    what = "all local volumes not used by at least one container"
    return pruning.run(context, options, what, lambda: prune_volumes(context, options.filters()))


def prune_volumes(context: Context, wanted: dict[str, list[str]]) -> tuple[int, str]:
    """Bytes that came free, and what docker says of what was removed (``""`` for nothing)."""
    removed, space = context.engine().prune_volumes(wanted)
    return space, pruning.report("Volumes", removed)
