"""``lamina build``: what is said and done when it fails."""

from __future__ import annotations

from lamina.cli.command import CommandError, Context, Options
from lamina.errors import LaminaError
from lamina.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamina.builder.request import BuildRequest

#: Values of ``--on-failure``.
KEEP, SHELL = "keep", "shell"


def wants_kept(options: Options) -> bool:
    """Whether the stage whose command fails is to be kept."""
    wanted = options.text("on-failure")
    if wanted not in ("", KEEP, SHELL):
        raise CommandError(f'invalid argument "{wanted}" for "--on-failure" flag: choose {KEEP} or {SHELL}', 125)
    return bool(wanted)


def tell_failure(context: Context, options: Options, error: LaminaError, request: BuildRequest) -> None:
    """Show the instruction, as far as it is known; then the stage, as the user wants it."""
    from lamina.cli.excerpt import excerpt, source_lines

    location = getattr(error, "location", None)
    if location is not None and location.name == request.dockerfile_name:
        context.warn(excerpt(location.name, source_lines(request.dockerfile), location.line, location.end_line))
    elif location is not None:
        context.warn("\n".join(getattr(error, "__notes__", ())))
    kept = getattr(error, "kept", "")
    if not kept:
        return
    shell = (context.engine().images.get(kept).config.get("Shell") or ["/bin/sh"])[0]
    words = ["--rm", "-it", "--network", "none" if request.network == "none" else "host", "--entrypoint", shell, kept]
    if options.text("on-failure") == SHELL and context.stdin.isatty() and context.stderr.isatty():
        context.warn(f"{error}\nThis is the stage as the command left it; exit ends the build.")
        try:
            _run(context, words)
        finally:
            context.engine().images.remove(kept, force=True)
        return
    context.warn(
        "The stage as the command left it is kept as an image. To look into it:\n"
        f"  lamina run {' '.join(words)}\nTo remove it:\n  lamina rmi {kept}"
    )


def _run(context: Context, words: list[str]) -> None:
    from lamina.cli import run
    from lamina.cli.flags import Parser

    parsed = Parser(run.COMMAND.flags, interspersed=run.COMMAND.interspersed).parse(words)
    try:
        run.run(context, Options(parsed))
    except CommandError as failure:
        context.warn(failure.text)
