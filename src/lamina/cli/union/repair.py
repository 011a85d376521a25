"""``lamina union repair``."""

from __future__ import annotations

from lamina.cli.command import NO_ARGUMENTS, Command, Context, Options
from lamina.cli.union.locating import option_flag, typed_options

COMMAND = Command(
    usage="[OPTIONS]",
    summary="Mend what lamina union check lists",
    description=(
        "Mend what lamina union check calls repairable; what the union shows stays the same. It must not be mounted.\n"
        "The exit code is 1 when something is left."
    ),
    arguments=NO_ARGUMENTS,
    flags=(option_flag(),),
)


def run(context: Context, options: Options) -> int:
    from lamina.unionfs.check import findings, repair

    wanted = typed_options(options)
    left = 0
    for finding in list(findings(wanted)):
        if finding.repairable:
            repair(finding)
            context.print(f"repaired {finding.path}: {finding.what}")
        else:
            left += 1
            context.warn(f"not repairable: {finding.path}: {finding.what}")
    return 1 if left else 0
