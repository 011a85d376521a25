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
    from lamina.builder.pruning import prune
    from lamina.cli.prompt import confirmed

    if not options.on("force") and not confirmed(context, _ALL if options.on("all") else _DANGLING):
        context.print(f"Total reclaimed space: {human_size(0)}")
        return 0
    wanted = options.filters()
    unknown = sorted(set(wanted) - {"until"})
    if unknown:
        raise CommandError(f'Error response from daemon: failed to parse filter: invalid filter "{unknown[0]}"')
    engine = context.engine()
    pruned = prune(
        engine.root,
        engine.layers,
        engine.image_store,
        all=options.on("all"),
        until=wanted.get("until", [None])[-1],
        keep=_bytes(options.text("keep-storage")),
    )
    if pruned.removed:
        context.print("Deleted build cache objects:")
        for key in pruned.removed:
            context.print(key[:25])
        context.print()
    context.print(f"Total reclaimed space: {human_size(pruned.reclaimed)}")
    return 0


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
