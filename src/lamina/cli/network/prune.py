"""``lamina network prune``."""

from __future__ import annotations

from lamina.cli import pruning
from lamina.cli.command import Context, Options

COMMAND = pruning.command("Remove all unused networks")


def run(context: Context, options: Options) -> int:
    what = "all custom networks not used by at least one container"
    return pruning.run(context, options, what, lambda: (0, prune_networks(context, options.filters())), sums=False)


def prune_networks(context: Context, wanted: dict[str, list[str]]) -> str:
    """Remove them; what docker says of what was removed, ``""`` for nothing."""
    return pruning.report("Networks", context.engine().prune_networks(wanted).removed)
