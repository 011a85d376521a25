"""``lamina commit``."""

from __future__ import annotations

from lamina.cli.command import Command, CommandError, Context, Options, between
from lamina.cli.flags import switch, text, texts
from lamina.reference import InvalidReference, Reference, parse_tagged

COMMAND = Command(
    usage="[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
    summary="Create a new image from a container's changes",
    arguments=between(1, 2),
    flags=(
        text("author", 'Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")', short="a"),
        texts("change", "Apply Dockerfile instruction to the created image", short="c"),
        text("message", "Commit message", short="m"),
        switch("pause", "Pause container during commit", short="p", default=True),
    ),
)


def run(context: Context, options: Options) -> int:
    from lamina.container.files import CommitRequest, ContainerFiles

    reference = _reference(options.arguments[1]) if len(options.arguments) > 1 and options.arguments[1] else None
    request = CommitRequest(
        options.text("author"), options.text("message"), options.texts("change"), options.on("pause"), reference
    )
    image = ContainerFiles(context.engine().container_service).commit(options.arguments[0], request)
    context.print(str(image.id))
    return 0


def _reference(name: str) -> Reference:
    try:
        reference = parse_tagged(name)
    except InvalidReference as error:
        raise CommandError(str(error)) from None
    if reference.digest is not None:
        raise CommandError("refusing to create a tag with a digest reference")
    return reference
