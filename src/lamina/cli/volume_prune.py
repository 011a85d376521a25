"""``lamina volume prune``."""

from __future__ import annotations

from lamina.cli import pruning
from lamina.cli.command import Context, Options
from lamina.cli.flags import check_filters
from lamina.errors import Conflict, NotFound

COMMAND = pruning.command("Remove all unused local volumes", example="label=<label>")


def run(context: Context, options: Options) -> int:
    what = "all local volumes not used by at least one container"
    return pruning.run(context, options, what, lambda: prune_volumes(context, options.filters()))


def prune_volumes(context: Context, wanted: dict[str, list[str]]) -> tuple[int, str]:
    """Bytes that came free, and what docker says of what was removed (``""`` for nothing)."""
    from lamina.view.labels import match
    from lamina.view.volume import disk_usage

    check_filters(wanted, ("label", "label!"))
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
    return space, pruning.report("Volumes", removed)
