"""``lamina union ls``."""

from __future__ import annotations

import os

from lamina.cli.command import Command, Context, Options, at_most
from lamina.cli.flags import text
from lamina.cli.listing import Column, Listing
from lamina.cli.union.locating import located, option_flag
from lamina.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamina.unionfs.origin import Origin

COMMAND = Command(
    usage="[OPTIONS] [PATH]",
    summary="List a directory of a union with the layer of each name",
    description=(
        "List a directory with the layer that each name comes from: 0 is the upper one, 1 the topmost lower one.\n"
        "PATH is below a mounted union, or with -o relative to the root of one that need not be mounted."
    ),
    arguments=at_most(1),
    flags=(text("format", "Format the output as a table, or using a Go template"), option_flag()),
)


def run(context: Context, options: Options) -> int:
    from lamina.unionfs.union import Union

    wanted, path = located(context, options, options.arguments[0] if options.arguments else ".")
    with Union(wanted._replace(read_only=True)) as union:  # it may be mounted
        found = sorted(union.scan(path), key=lambda origin: origin.path)
    _LISTING.write(context.stdout, found, options.text("format"))
    return 0


def _name(origin: Origin) -> str:
    return os.fsdecode(origin.path.rpartition(b"/")[2])


_LISTING: Listing[Origin] = Listing(
    "*unionfs.Origin",
    (
        Column("Name", "NAME", _name),
        Column("Kind", "KIND", lambda origin: origin.kind),
        Column("Layer", "LAYER", lambda origin: str(origin.layer)),
        Column("Why", "WHY", lambda origin: origin.reason),
        Column("HostPath", "HOST PATH", lambda origin: origin.host_path),
    ),
    ("Layer", "Kind", "Name", "Why"),
)
