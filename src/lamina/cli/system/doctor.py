"""``lamina doctor``."""

from __future__ import annotations

import os

from lamina import json
from lamina.cli.command import NO_ARGUMENTS, Command, Context, Options
from lamina.cli.flags import text
from lamina.cli.listing import Column, Listing
from lamina.cli.opening import default_root
from lamina.contextlib import suppress
from lamina.errors import LaminaError
from lamina.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamina.engine.doctor import Finding
    from lamina.engine.hostfacts import Driver

COMMAND = Command(
    usage="[OPTIONS]",
    summary="Look at the host and say what works, what does not, and what mends it",
    description=(
        "Look at the host and say what works, what does not, and the command that mends it.\n"
        "The exit code is 1 when something fails that containers need, and 0 otherwise."
    ),
    arguments=NO_ARGUMENTS,
    flags=(text("format", "Format the output as json, or each finding using a Go template"),),
)


def run(context: Context, options: Options) -> int:
    import pwd

    from lamina.engine import doctor, hostfacts

    uid = os.geteuid()
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:
        user = str(uid)
    if uid:
        # Rights are looked at as the user; what works on the data root is seen in the user's namespace only.
        facts = hostfacts.gather(context.root or default_root(context.environment), (), user)
        context.root = _enter(context)
        place, drivers, trouble = _data_root(context)
        facts = facts._replace(data_root=place, drivers=drivers, trouble=trouble)
    else:
        place, drivers, trouble = _data_root(context)
        facts = hostfacts.gather(place, drivers, user, trouble)
    findings = doctor.examine(facts)
    template = options.text("format")
    if template == "json":
        context.print(json.dumps([finding._asdict() for finding in findings], indent=2))
    elif template:
        _LISTING.write(context.stdout, findings, template)
    else:
        for finding in findings:
            context.print(f"{finding.state:8} {finding.name}: {finding.what}")
            if finding.remedy and finding.state != doctor.WORKS:
                context.print(f"{'':8} mend it: {finding.remedy}")
    return 1 if any(finding.state == doctor.FAILS for finding in findings) else 0


def _enter(context: Context) -> str:
    """The data root, from inside the user's namespace where that can be made."""
    from lamina.cli import rootless

    root = context.root or default_root(context.environment)
    with suppress(LaminaError, OSError):  # there is a finding for whatever is in the way
        return rootless.enter(root, context.environment, context.stderr)
    return root


def _data_root(context: Context) -> tuple[str, tuple[Driver, ...], str]:
    """Path of the data root, its graph drivers, and why it can't be opened."""
    from lamina.engine.hostfacts import Driver

    try:
        engine = context.engine()
        return engine.root.path, tuple(Driver(*choice) for choice in engine.driver_choices), ""
    except (LaminaError, OSError) as error:
        return context.root or "/var/lib", (), str(error)


_LISTING: Listing[Finding] = Listing(
    "*lamina.finding",
    (
        Column("Name", "NAME", lambda finding: finding.name),
        Column("State", "STATE", lambda finding: finding.state),
        Column("What", "WHAT", lambda finding: finding.what),
        Column("Remedy", "REMEDY", lambda finding: finding.remedy),
    ),
    ("State", "Name", "What", "Remedy"),
)
