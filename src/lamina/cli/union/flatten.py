"""``lamina union flatten``."""

from __future__ import annotations

from lamina.cli.command import Command, CommandError, Context, Options, between
from lamina.cli.union.locating import located, option_flag, typed_options

COMMAND = Command(
    usage="[OPTIONS] [MOUNTED] TARGET",
    summary="Copy what a union shows into one directory",
    description=(
        "Copy what a union shows, mounted at MOUNTED or told by -o, into TARGET, absent or an empty directory."
    ),
    arguments=between(1, 2),
    flags=(option_flag(),),
)


def run(context: Context, options: Options) -> int:
    from lamina.unionfs.flatten import flatten

    *mounted, target = options.arguments
    if bool(mounted) == bool(options.texts("options")):
        raise CommandError(f"{context.path}: say either -o or a mounted union")
    wanted = located(context, options, mounted[0])[0] if mounted else typed_options(options)
    flatten(wanted, target)
    return 0
