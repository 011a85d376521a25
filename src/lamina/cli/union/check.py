"""``lamina union check``."""

from __future__ import annotations

from lamina.cli.command import NO_ARGUMENTS, Command, Context, Options
from lamina.cli.flags import text
from lamina.cli.listing import Column, Listing
from lamina.cli.union.locating import option_flag, typed_options
from lamina.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamina.unionfs.check import Finding

COMMAND = Command(
    usage="[OPTIONS]",
    summary="List what is wrong in the upper layer of a union",
    description=(
        "List leftover work files, broken marks and whiteouts of nothing in the upper layer of a union that is not\n"
        "mounted. The exit code is 1 when there are any."
    ),
    arguments=NO_ARGUMENTS,
    flags=(text("format", "Format the output as a table, or using a Go template"), option_flag()),
)


def run(context: Context, options: Options) -> int:
    from lamina.unionfs.check import findings

    found = list(findings(typed_options(options)))
    if not found and not options.text("format"):
        context.print("Nothing is wrong")
        return 0
    LISTING.write(context.stdout, found, options.text("format"))
    return 1 if found else 0


LISTING: Listing[Finding] = Listing(
    "*unionfs.Finding",
    (
        Column("Kind", "KIND", lambda finding: finding.kind),
        Column("Path", "PATH", lambda finding: finding.path),
        Column("What", "WHAT", lambda finding: finding.what),
        Column("State", "STATE", lambda finding: "repairable" if finding.repairable else "not repairable"),
    ),
    ("Kind", "State", "Path", "What"),
)
