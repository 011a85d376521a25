"""What the ``prune`` verbs have in common: flags, the question, the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lamina.cli.command import NO_ARGUMENTS, Command, Context, Options
from lamina.cli.flags import Flag, filters, switch
from lamina.cli.units import human_size

#: Bytes that came free, and what docker says of what was removed (``""`` for nothing).
Pruned = tuple[int, str]


def command(summary: str, *flags: Flag, example: str = "until=<timestamp>") -> Command:
    """Grammar of a ``prune`` verb; ``flags`` are those that only it has, ``example`` a filter that it knows."""
    common = (
        filters(help=f"Provide filter values (e.g. '{example}')", short=""),
        switch("force", "Do not prompt for confirmation", short="f"),
    )
    return Command(usage="[OPTIONS]", summary=summary, arguments=NO_ARGUMENTS, flags=(*flags, *common))


def run(context: Context, options: Options, what: str, prune: Callable[[], Pruned], *, sums: bool = True) -> int:
    """Ask, prune and report. ``what`` is removed, says the question; ``sums``: whether bytes are counted."""
    space, report = 0, ""
    if options.on("force") or _confirmed(context, what):
        space, report = prune()
    if report:
        context.print(report)
    if sums:
        context.print(f"Total reclaimed space: {human_size(space)}")
    return 0


def _confirmed(context: Context, what: str) -> bool:
    from lamina.cli.prompt import confirmed

    return confirmed(context, f"WARNING! This will remove {what}.")


def report(what: str, removed: Sequence[str]) -> str:
    """docker's list of what was removed."""
    return "\n".join([f"Deleted {what}:", *removed, ""]) if removed else ""
