"""``lamina save``."""

from __future__ import annotations

from lamina.cli import outputpath
from lamina.cli.command import Command, CommandError, Context, Options, at_least
from lamina.cli.flags import text

COMMAND = Command(
    usage="[OPTIONS] IMAGE [IMAGE...]",
    summary="Save one or more images to a tar archive (streamed to STDOUT by default)",
    arguments=at_least(1),
    flags=(
        text("format", "Form of the archive: docker or oci; oci also writes a directory", default="docker"),
        text("output", "Write to a file, instead of STDOUT", short="o"),
    ),
)


def run(context: Context, options: Options) -> int:
    from lamina.distribution.save import save

    form, path = options.text("format"), options.text("output")
    if not path:
        if context.stdout.isatty():
            raise CommandError("cowardly refusing to save to a terminal. Use the -o flag or redirect")
        save(options.arguments, context.engine().stores, context.binary_stdout, format=form)
        context.binary_stdout.flush()
        return 0
    outputpath.check(path, "failed to save image", directory=form == "oci")
    save(options.arguments, context.engine().stores, path, format=form)
    return 0
