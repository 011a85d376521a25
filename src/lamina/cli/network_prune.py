"""``lamina network prune``."""

from __future__ import annotations

from lamina.cli.command import NO_ARGUMENTS, Command, Context, Options
from lamina.cli.flags import filters, switch
from lamina.errors import Denied, InvalidArgument, NotFound

COMMAND = Command(
    usage="[OPTIONS]",
    summary="Remove all unused networks",
    arguments=NO_ARGUMENTS,
    flags=(
        filters(help="Provide filter values (e.g. 'until=<timestamp>')", short=""),
        switch("force", "Do not prompt for confirmation", short="f"),
    ),
)


def run(context: Context, options: Options) -> int:
    if options.on("force") or _confirmed(context):
        report = prune_networks(context, options.filters())
        if report:
            context.print(report)
    return 0


def _confirmed(context: Context) -> bool:
    from lamina.cli.prompt import confirmed

    return confirmed(context, "WARNING! This will remove all custom networks not used by at least one container.")


def prune_networks(context: Context, wanted: dict[str, list[str]]) -> str:
    """Remove them; what docker says of what was removed, ``""`` for nothing."""
    from lamina.oci import timestamp
    from lamina.view.labels import match

    for name in wanted:
        if name not in ("label", "label!", "until"):
            raise InvalidArgument(f"Invalid filter '{name}'")
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
    return "\n".join(["Deleted Networks:", *removed, ""]) if removed else ""
