"""``lamina push``."""

from __future__ import annotations

from lamina.cli.command import Command, CommandError, Context, Options, exactly
from lamina.cli.flags import switch
from lamina.cli.image.pull import distribution_reference
from lamina.errors import LaminaError

COMMAND = Command(
    usage="[OPTIONS] NAME[:TAG]",
    summary="Push an image or a repository to a registry",
    arguments=exactly(1),
    flags=(
        switch("all-tags", "Push all tagged images in the repository", short="a"),
        switch("disable-content-trust", "Skip image signing", default=True),
        switch("quiet", "Suppress verbose output", short="q"),
    ),
)


def run(context: Context, options: Options) -> int:
    from lamina.cli.progress import reporter
    from lamina.distribution.push import push

    quiet, all_tags = options.on("quiet"), options.on("all-tags")
    reference = distribution_reference(context, options.arguments[0], all_tags=all_tags, quiet=quiet)
    engine = context.engine()
    report = reporter(context.stdout, quiet=quiet)
    try:
        push(reference, engine.stores, engine.registry, all_tags=all_tags, report=report)
    except LaminaError as error:
        # dockerd has begun its answer by now, so that docker prints this as a part of the stream.
        raise CommandError(str(error)) from error
    if quiet:
        context.print(reference.familiar)
    return 0
