"""``lamina volume prune``."""

from __future__ import annotations

from lamina.cli.command import NO_ARGUMENTS, Command, Context, Options
from lamina.cli.flags import filters, switch
from lamina.cli.units import human_size
from lamina.errors import Conflict, InvalidArgument, NotFound

COMMAND = Command(
    usage="[OPTIONS]",
    summary="Remove all unused local volumes",
    arguments=NO_ARGUMENTS,
    flags=(
        filters(help="Provide filter values (e.g. 'label=<label>')", short=""),
        switch("force", "Do not prompt for confirmation", short="f"),
    ),
)


def run(context: Context, options: Options) -> int:
    space = 0
    if options.on("force") or _confirmed(context):
        space, report = prune_volumes(context, options.filters())
        if report:
            context.print(report)
    context.print(f"Total reclaimed space: {human_size(space)}")
    return 0


def _confirmed(context: Context) -> bool:
    from lamina.cli.prompt import confirmed

    return confirmed(context, "WARNING! This will remove all local volumes not used by at least one container.")


def prune_volumes(context: Context, wanted: dict[str, list[str]]) -> tuple[int, str]:
    """Bytes that came free, and what docker says of what was removed (``""`` for nothing)."""
    from lamina.view.labels import match
    from lamina.view.volume import disk_usage

    for name in wanted:
        if name not in ("label", "label!"):
            raise InvalidArgument(f"Invalid filter '{name}'")
    engine = context.engine()
    space = 0
    removed = []
    for volume in engine.volumes.all():
        if not match(volume.labels or {}, wanted):
            continue
        size = disk_usage(volume.path)
        try:
            engine.volumes.remove(volume.name, list(engine.container_service.volume_users(volume.name)))
        except (Conflict, NotFound):
            continue  # in use, or removed meanwhile
        space += size
        removed.append(volume.name)
    return space, "\n".join(["Deleted Volumes:", *removed, ""]) if removed else ""
