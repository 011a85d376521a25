"""``lamina union which``."""

from __future__ import annotations

from lamina.cli.command import Command, CommandError, Context, Options, exactly
from lamina.cli.flags import text
from lamina.cli.listing import Column, Listing
from lamina.cli.union.locating import located, option_flag
from lamina.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamina.unionfs.origin import Presence

COMMAND = Command(
    usage="[OPTIONS] PATH",
    summary="Show every layer that has a path, the topmost first",
    description=(
        "Show every layer that has something at PATH, whiteouts too, the topmost first, and which of it is seen.\n"
        "PATH is below a mounted union, or with -o relative to the root of one that need not be mounted."
    ),
    arguments=exactly(1),
    flags=(text("format", "Format the output as a table, or using a Go template"), option_flag()),
)


def run(context: Context, options: Options) -> int:
    from lamina.unionfs.union import Union

    typed = options.arguments[0]
    wanted, path = located(context, options, typed)
    with Union(wanted._replace(read_only=True)) as union:  # it may be mounted
        found = union.all(path)
    if not found:
        raise CommandError(f"{context.path}: no layer has {typed}")
    _LISTING.write(context.stdout, found, options.text("format"))
    return 0 if any(presence.visible for presence in found) else 1


_LISTING: Listing[Presence] = Listing(
    "*unionfs.Presence",
    (
        Column("Layer", "LAYER", lambda presence: str(presence.layer)),
        Column("Kind", "KIND", lambda presence: presence.kind),
        Column("Visible", "SEEN", lambda presence: "yes" if presence.visible else "no"),
        Column("Why", "WHY", lambda presence: presence.why),
        Column("HostPath", "HOST PATH", lambda presence: presence.host_path),
    ),
    ("Layer", "Kind", "Visible", "HostPath", "Why"),
)
