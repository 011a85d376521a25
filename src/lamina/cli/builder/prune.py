"""``lamina builder prune``."""

from __future__ import annotations

from lamina.cli.command import NO_ARGUMENTS, Command, CommandError, Context, Options
from lamina.cli.flags import filters, switch, text
from lamina.cli.units import human_size

COMMAND = Command(
    usage="",
    summary="Remove build cache",
    arguments=NO_ARGUMENTS,
    flags=(
        switch("all", "Remove all unused build cache, not just dangling ones", short="a"),
        filters(help="Provide filter values (e.g. 'until=24h')", short=""),
        switch("force", "Do not prompt for confirmation", short="f"),
        text("keep-storage", "Amount of disk space to keep for cache", type_name="bytes"),
    ),
)

_DANGLING = "WARNING! This will remove all dangling build cache."
_ALL = "WARNING! This will remove all build cache."


def run(context: Context, options: Options) -> int:
    from lamina.cli.prompt import confirmed

    space, report = 0, ""
    if options.on("force") or confirmed(context, _ALL if options.on("all") else _DANGLING):
        keep = _bytes(options.text("keep-storage"))
        space, report = prune_cache(context, all=options.on("all"), filters=options.filters(), keep=keep)
    if report:
        context.print(report)
    context.print(f"Total reclaimed space: {human_size(space)}")
    return 0


def prune_cache(context: Context, *, all: bool, filters: dict[str, list[str]], keep: int = 0) -> tuple[int, str]:
    """Bytes that came free, and what docker says of what was removed (``""`` for nothing).

    Raises ``InvalidFilter``.
    """
    from lamina.builder.pruning import prune

    engine = context.engine()
    until = filters["until"][-1] if "until" in filters else None
    others = {name: values for name, values in filters.items() if name != "until"}
    pruned = prune(engine.root, engine.layers, engine.image_store, all=all, until=until, keep=keep, filters=others)
    if not pruned.removed:
        return pruned.reclaimed, ""
    return pruned.reclaimed, "\n".join(["Deleted build cache objects:", *(key[:25] for key in pruned.removed), ""])


def _bytes(value: str) -> int:
    """``512m``: docker's units, powers of 1024."""
    if not value:
        return 0
    number = value.lower().rstrip("b").rstrip("i")
    power = "kmgtp".find(number[-1:]) + 1 if number[-1:] in "kmgtp" and number else 0
    try:
        return int(float(number[:-1] if power else number) * 1024**power)
    except (ValueError, OverflowError):
        raise CommandError(
            f'invalid argument "{value}" for "--keep-storage" flag: invalid size: \'{value}\'', 125
        ) from None
