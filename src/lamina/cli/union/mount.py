"""``lamina union mount``."""

from __future__ import annotations

import os

from lamina.cli.command import Command, CommandError, Context, Options, between
from lamina.cli.flags import switch
from lamina.cli.union.locating import option_flag, typed_options

COMMAND = Command(
    usage="[OPTIONS] [SOURCE] DIRECTORY",
    summary="Show layers as one tree",
    description=(
        "Show layers as one tree at DIRECTORY, changes going to the upper one:\n\n"
        "    -o lowerdir=A:B,upperdir=U,workdir=W\n\n"
        "The options are those of mount -t overlay. Returns when the tree is there; lamina union umount ends it."
    ),
    arguments=between(1, 2),
    flags=(
        option_flag("lowerdir=A:B,upperdir=U,workdir=W and switches, as for mount -t overlay"),
        switch("foreground", "Stay until it is unmounted", short="f"),
    ),
)


def run(context: Context, options: Options) -> int:
    *source, point = options.arguments
    wanted = typed_options(options, source=source[0] if source else None)
    if not os.path.isdir(point):
        raise CommandError(f"{context.path}: {point} is not a directory")
    from lamina.unionfs import fuse

    if options.on("foreground"):
        fuse.serve(wanted, os.path.abspath(point))
    else:
        fuse.mount_in_background(wanted, os.path.abspath(point))
    return 0
