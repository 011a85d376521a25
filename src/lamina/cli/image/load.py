"""``lamina load``."""

from __future__ import annotations

import os

from lamina.cli.command import NO_ARGUMENTS, Command, CommandError, Context, Options
from lamina.cli.flags import switch, text
from lamina.errors import LaminaError
from lamina.typing import IO

COMMAND = Command(
    usage="[OPTIONS]",
    summary="Load an image from a tar archive or STDIN",
    arguments=NO_ARGUMENTS,
    flags=(
        text("input", "Read from tar archive file, instead of STDIN", short="i"),
        switch("quiet", "Suppress the load output", short="q"),
    ),
)


def run(context: Context, options: Options) -> int:
    from lamina.cli.progress import reporter
    from lamina.distribution.load import load

    path = options.text("input")
    if not path and context.stdin.isatty():
        raise CommandError("requested load from stdin, but stdin is empty")
    # docker asks for no progress unless a person is looking.
    quiet = options.on("quiet") or not context.stdout.isatty()
    try:
        with _open(context, path) as source:
            where: IO[bytes] | str = path if os.path.isdir(path) else source
            loaded = load(where, context.engine().stores, report=reporter(context.stdout, quiet=quiet))
    except LaminaError as error:
        raise CommandError(str(error)) from error
    for image in loaded:
        for message in image.messages:
            context.print(message)
    return 0


def _open(context: Context, path: str) -> IO[bytes]:
    if not path:
        return os.fdopen(os.dup(context.stdin.fileno()), "rb", buffering=0)
    try:
        return open(os.devnull if os.path.isdir(path) else path, "rb", buffering=0)
    except OSError as error:
        raise CommandError(f"open {path}: {os.strerror(error.errno or 0).lower()}") from None
