"""``lamina image prune``."""

from __future__ import annotations

from lamina.cli.command import NO_ARGUMENTS, Command, Context, Options
from lamina.cli.flags import filters, switch
from lamina.cli.rmi import removal_line
from lamina.cli.units import human_size

COMMAND = Command(
    usage="[OPTIONS]",
    summary="Remove unused images",
    arguments=NO_ARGUMENTS,
    flags=(
        switch("all", "Remove all unused images, not just dangling ones", short="a"),
        filters(help="Provide filter values (e.g. 'until=<timestamp>')", short=""),
        switch("force", "Do not prompt for confirmation", short="f"),
    ),
)

_DANGLING = "WARNING! This will remove all dangling images."
_ALL = "WARNING! This will remove all images without at least one container associated to them."


def run(context: Context, options: Options) -> int:
    space = 0
    if options.on("force") or _confirmed(context, all=options.on("all")):
        space, report = prune_images(context, all=options.on("all"), filters=options.filters())
        if report:
            context.print(report)
    context.print(f"Total reclaimed space: {human_size(space)}")
    return 0


def _confirmed(context: Context, *, all: bool) -> bool:
    from lamina.cli.prompt import confirmed

    return confirmed(context, _ALL if all else _DANGLING)


def prune_images(context: Context, *, all: bool, filters: dict[str, list[str]]) -> tuple[int, str]:
    """Bytes that came free, and what docker says of what was removed (``""`` for nothing)."""
    dangling = [*filters.get("dangling", ()), "false" if all else "true"]  # docker's client asks for both
    pruned = context.engine().images.prune(filters={**filters, "dangling": dangling})
    if not pruned.removed:
        return pruned.reclaimed, ""
    lines = [removal_line(removed) for removed in pruned.removed]
    return pruned.reclaimed, "\n".join(["Deleted Images:", *(line[0].lower() + line[1:] for line in lines), ""])
