"""``lamina system prune``."""

from __future__ import annotations

from lamina.cli.command import NO_ARGUMENTS, Command, CommandError, Context, Options
from lamina.cli.flags import filters, switch
from lamina.cli.units import human_size

COMMAND = Command(
    usage="[OPTIONS]",
    summary="Remove unused data",
    arguments=NO_ARGUMENTS,
    flags=(
        switch("all", "Remove all unused images not just dangling ones", short="a"),
        filters(help="Provide filter values (e.g. 'label=<key>=<value>')", short=""),
        switch("force", "Do not prompt for confirmation", short="f"),
        switch("volumes", "Prune volumes"),
    ),
)


def run(context: Context, options: Options) -> int:
    from lamina.cli.container.prune import prune_containers
    from lamina.cli.image.prune import prune_images
    from lamina.cli.network.prune import prune_networks

    wanted = options.filters()
    if options.on("volumes") and "until" in wanted:
        raise CommandError('ERROR: The "until" filter is not supported with "--volumes"')
    if not options.on("force"):
        from lamina.cli.prompt import confirmed

        if not confirmed(context, _warning(options)):
            return 0
    done = [prune_containers(context, wanted), (0, prune_networks(context, wanted))]
    if options.on("volumes"):
        from lamina.cli.volume.prune import prune_volumes

        done.append(prune_volumes(context, wanted))
    done.append(prune_images(context, all=options.on("all"), filters=wanted))
    if not set(wanted) - {"until"}:
        from lamina.cli.builder.prune import prune_cache

        done.append(prune_cache(context, all=options.on("all"), filters=wanted))
    for _, report in done:
        if report:
            context.print(report)
    context.print(f"Total reclaimed space: {human_size(sum(space for space, _ in done))}")
    return 0


def _warning(options: Options) -> str:
    every = options.on("all")
    lines = ["all stopped containers", "all networks not used by at least one container"]
    if options.on("volumes"):
        lines.append("all volumes not used by at least one container")
    lines.append("all images without at least one container associated to them" if every else "all dangling images")
    lines.append("all build cache" if every else "all dangling build cache")
    warning = "WARNING! This will remove:\n" + "".join(f"  - {line}\n" for line in lines)
    wanted = [f"{name}={value}" for name, values in sorted(options.filters().items()) for value in values]
    if wanted:
        warning += "\n  Items to be pruned will be filtered with:\n" + "".join(f"  - {line}\n" for line in wanted)
    return warning
