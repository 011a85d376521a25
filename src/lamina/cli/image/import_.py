"""``lamina import``."""

from __future__ import annotations

import os

from lamina.cli.command import Command, CommandError, Context, Options, at_least
from lamina.cli.flags import text, texts
from lamina.contextlib import AbstractContextManager, nullcontext
from lamina.reference import InvalidReference, Reference, parse_tagged
from lamina.typing import IO

COMMAND = Command(
    usage="[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
    summary="Import the contents from a tarball to create a filesystem image",
    arguments=at_least(1),
    flags=(
        texts("change", "Apply Dockerfile instruction to the created image", short="c"),
        text("message", "Set commit message for imported image", short="m"),
        text("platform", "Set platform if server is multi-platform capable"),
    ),
)


def run(context: Context, options: Options) -> int:
    from lamina.distribution.importing import import_image
    from lamina.oci.platform import from_text

    source, *names = options.arguments
    platform = from_text(options.text("platform")) if options.text("platform") else None
    engine = context.engine()
    with _open(context, source) as origin:
        image_id = import_image(
            origin,
            engine.stores,
            reference=_reference(names[0]) if names else None,
            changes=options.texts("change"),
            message=options.text("message"),
            platform=platform,
            settings=engine.registry.settings if isinstance(origin, str) else None,
        )
    context.print(str(image_id))
    return 0


def _reference(name: str) -> Reference:
    try:
        return parse_tagged(name)
    except InvalidReference as error:
        raise CommandError(str(error)) from None


def _open(context: Context, source: str) -> AbstractContextManager[IO[bytes] | str]:
    """The stream to read, or the URL to download."""
    if source.startswith(("http://", "https://")):
        return nullcontext(source)
    if source == "-":
        return os.fdopen(os.dup(context.stdin.fileno()), "rb", buffering=0)
    try:
        return open(source, "rb", buffering=0)
    except OSError as error:
        raise CommandError(f"open {source}: {os.strerror(error.errno or 0).lower()}") from None
