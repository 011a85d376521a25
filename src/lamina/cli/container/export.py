"""``lamina export``."""

from __future__ import annotations

from lamina import atomicfile
from lamina.cli import outputpath
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
    outputpath.check(output, "failed to export container")
    with atomicfile.replacing(output) as file:
        for chunk in chunks:
            file.write(chunk)
    return 0
