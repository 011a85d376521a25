"""``lamina image prune``."""

from __future__ import annotations

from lamina.cli import pruning
from lamina.cli.command import Context, Options
from lamina.cli.flags import switch
from lamina.cli.image.rm import removal_line

COMMAND = pruning.command(
    "Remove unused images", switch("all", "Remove all unused images, not just dangling ones", short="a")
)


def run(context: Context, options: Options) -> int:
    every = options.on("all")
    what = "all images without at least one container associated to them" if every else "all dangling images"
    return pruning.run(context, options, what, lambda: prune_images(context, all=every, filters=options.filters()))


def prune_images(context: Context, *, all: bool, filters: dict[str, list[str]]) -> tuple[int, str]:
    """Bytes that came free, and what docker says of what was removed (``""`` for nothing)."""
    dangling = [*filters.get("dangling", ()), "false" if all else "true"]  # docker's client asks for both
    pruned = context.engine().images.prune(filters={**filters, "dangling": dangling})
    lines = [removal_line(removed) for removed in pruned.removed]
    return pruned.reclaimed, pruning.report("Images", [line[0].lower() + line[1:] for line in lines])
