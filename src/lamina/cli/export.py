"""``lamina export``."""

from __future__ import annotations

import os

from lamina.cli.command import Command, CommandError, Context, Options, exactly
from lamina.cli.flags import text

COMMAND = Command(
    usage="[OPTIONS] CONTAINER",
    summary="Export a container's filesystem as a tar archive",
    arguments=exactly(1),
    flags=(text("output", "Write to a file, instead of STDOUT", short="o"),),
)


def run(context: Context, options: Options) -> int:
    from lamina.container.files import ContainerFiles

    output = options.text("output")
    chunks = ContainerFiles(context.engine().container_service).export(options.arguments[0])
    if not output:
        if context.stdout.isatty():
            raise CommandError("cowardly refusing to save to a terminal. Use the -o flag or redirect")
        out = context.binary_stdout
        for chunk in chunks:
            out.write(chunk)
        return 0
    temporary = f"{output}.tmp-{os.getpid()}"
    try:
        with open(temporary, "xb") as file:
            for chunk in chunks:
                file.write(chunk)
        os.replace(temporary, output)
    except BaseException as error:
        if os.path.exists(temporary):
            os.unlink(temporary)
        if isinstance(error, FileNotFoundError):
            raise CommandError(
                f'failed to export container: invalid output path: directory "{os.path.dirname(output)}" does not exist'
            ) from error
        raise
    return 0
