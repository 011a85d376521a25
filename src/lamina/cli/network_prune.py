"""``lamina network prune``."""

from __future__ import annotations

from lamina.cli import pruning
from lamina.cli.command import Context, Options
from lamina.cli.flags import check_filters
from lamina.errors import Denied, NotFound

COMMAND = pruning.command("Remove all unused networks")


def run(context: Context, options: Options) -> int:
    what = "all custom networks not used by at least one container"
    return pruning.run(context, options, what, lambda: (0, prune_networks(context, options.filters())), sums=False)


def prune_networks(context: Context, wanted: dict[str, list[str]]) -> str:
    """Remove them; what docker says of what was removed, ``""`` for nothing."""
    from lamina.oci import timestamp
    from lamina.view.labels import match

    check_filters(wanted, ("label", "label!", "until"))
    engine = context.engine()
    limits = [timestamp.moment(text) for text in wanted.get("until", ())]
    removed = []
    for network in engine.networks.all():
        if network.predefined or not match(network.labels, wanted):
            continue
        if any(timestamp.nanoseconds(network.created) > limit for limit in limits):
            continue
        try:
            engine.networks.remove(network.id)
        except (Denied, NotFound):
            continue  # in use, or removed meanwhile
        removed.append(network.name)
    engine.networks.tidy()
    return pruning.report("Networks", removed)
