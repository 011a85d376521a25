"""``lamina pull``."""

from __future__ import annotations

from lamina.cli.command import Command, CommandError, Context, Options, exactly
from lamina.cli.flags import switch, text
from lamina.reference import InvalidReference, Reference, parse

COMMAND = Command(
    usage="[OPTIONS] NAME[:TAG|@DIGEST]",
    summary="Pull an image or a repository from a registry",
    arguments=exactly(1),
    flags=(
        switch("all-tags", "Download all tagged images in the repository", short="a"),
        switch("disable-content-trust", "Skip image verification", default=True),
        text("platform", "Set platform if server is multi-platform capable"),
        switch("quiet", "Suppress verbose output", short="q"),
    ),
)


def run(context: Context, options: Options) -> int:
    from lamina.cli.progress import reporter
    from lamina.distribution.pull import pull
    from lamina.oci.platform import from_text

    quiet, all_tags = options.on("quiet"), options.on("all-tags")
    reference = distribution_reference(context, options.arguments[0], all_tags=all_tags, quiet=quiet)
    platform = from_text(options.text("platform")) if options.text("platform") else None
    engine = context.engine()
    pull(
        reference,
        engine.stores,
        engine.registry,
        platform=platform,
        all_tags=all_tags,
        report=reporter(context.stdout, quiet=quiet),
    )
    context.print(reference.familiar)
    return 0


def distribution_reference(context: Context, name: str, *, all_tags: bool, quiet: bool) -> Reference:
    """The reference that ``pull`` or ``push`` works on; says so when it adds the default tag."""
    try:
        reference = parse(name)
    except InvalidReference as error:
        raise CommandError(str(error)) from None
    bare = reference.tag is None and reference.digest is None
    if all_tags:
        if not bare:
            raise CommandError("tag can't be used with --all-tags/-a")
        return reference
    if bare and not quiet:
        context.print("Using default tag: latest")
    return reference.tagged()
