"""``lamina tag``."""

from __future__ import annotations

from lamina.cli.command import Command, CommandError, Context, Options, exactly
from lamina.reference import InvalidReference, Reference, parse_tagged

COMMAND = Command(
    usage="SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
    summary="Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
    arguments=exactly(2),
)


def run(context: Context, options: Options) -> int:
    source, target = options.arguments
    _parse(source)
    reference = _parse(target)
    if reference.digest is not None:
        raise CommandError("refusing to create a tag with a digest reference")
    context.engine().images.tag(source, target)
    return 0


def _parse(name: str) -> Reference:
    try:
        return parse_tagged(name)
    except InvalidReference as error:
        raise CommandError(f'Error parsing reference: "{name}" is not a valid repository/tag: {error}') from None
