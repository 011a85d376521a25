"""``lamina union diff``."""

from __future__ import annotations

from lamina.cli.command import Command, Context, Options, at_most
from lamina.cli.union.locating import located, option_flag

COMMAND = Command(
    usage="[OPTIONS] [DIRECTORY]",
    summary="List what the upper layer of a union changes",
    description=(
        "List what the upper layer changes, as docker diff prints it: A added, C changed, D deleted.\n"
        "DIRECTORY is a mounted union; with -o none is needed."
    ),
    arguments=at_most(1),
    flags=(option_flag(),),
)


def run(context: Context, options: Options) -> int:
    from lamina.layer.unionchanges import union_changes

    wanted, _ = located(context, options, options.arguments[0] if options.arguments else ".")
    out = context.binary_stdout
    for change in union_changes(wanted):
        out.write(change.kind.encode() + b" " + change.path + b"\n")
    return 0
