"""``lamina build``: what is said and done when it fails."""

from __future__ import annotations

from lamina.cli.command import CommandError, Context, Options
from lamina.errors import LaminaError
from lamina.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamina.builder.job import FailedStage, StepMount
    from lamina.builder.request import BuildRequest
    from lamina.cli.builder.progress import Reporter

#: Values of ``--on-failure``.
KEEP, SHELL = "keep", "shell"


def wants_kept(options: Options) -> bool:
    """Whether the stage whose command fails is to be kept."""
    wanted = options.text("on-failure")
    if wanted not in ("", KEEP, SHELL):
        raise CommandError(f'invalid argument "{wanted}" for "--on-failure" flag: choose {KEEP} or {SHELL}', 125)
    return bool(wanted)


class Failure:
    """Tells of a build's failure, once. A context manager: leaving it removes what was kept for a shell."""

    def __init__(self, context: Context, options: Options, request: BuildRequest, report: Reporter) -> None:
        self._context = context
        self._options = options
        self._request = request
        self._report = report
        self._told = False
        self._shown = ""

    def __enter__(self) -> Failure:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._shown:
            self._context.engine().images.remove(self._shown, force=True)

    def tell(self, error: LaminaError) -> None:
        """Show the instruction, as far as it is known; then the stage, as the user wants it."""
        if self._told:
            return
        self._told = True
        self._report.close()
        self._tell_place(error)
        kept = getattr(error, "kept", "")
        if not kept:
            return
        context, options = self._context, self._options
        network = "none" if self._request.network == "none" else "host"
        shell = (context.engine().images.get(kept).config.get("Shell") or ["/bin/sh"])[0]
        flags = ["--rm", "-it", "--network", network, "--entrypoint", shell]
        if options.text("on-failure") == SHELL and context.stdin.isatty() and context.stderr.isatty():
            context.warn(f"{error}\nThis is the stage as the command left it; exit ends the build.")
            self._shown = kept
            _run(context, [*flags, *_surroundings(getattr(error, "stage", None)), kept])
            return
        context.warn(
            "The stage as the command left it is kept as an image. To look into it:\n"
            f"  lamina run {' '.join(flags)} {kept}\nTo remove it:\n  lamina rmi {kept}"
        )

    def _tell_place(self, error: LaminaError) -> None:
        from lamina.cli.builder.excerpt import excerpt, source_lines

        location, request = getattr(error, "location", None), self._request
        if location is not None and location.name == request.dockerfile_name:
            lines = source_lines(request.dockerfile)
            self._context.warn(excerpt(location.name, lines, location.line, location.end_line))
        elif location is not None:
            self._context.warn("\n".join(getattr(error, "__notes__", ())))


def _surroundings(stage: FailedStage | None) -> list[str]:
    """Flags of ``run`` for what the failed command had besides the stage."""
    if stage is None:
        return []
    words = [word for pair in stage.environment.items() for word in ("--env", "=".join(pair))]
    for mount in stage.mounts:
        if mount.kind == "tmpfs":
            words += ["--tmpfs", f"{mount.target}:{mount.options}"]
        else:
            words += ["--mount", _mount(mount)]
    return words


def _mount(mount: StepMount) -> str:
    """One line of CSV, in which every field may have commas."""
    if mount.kind == "overlay":
        source = [
            "type=volume",
            "volume-opt=type=overlay",
            "volume-opt=device=overlay",
            f"volume-opt=o={mount.options}",
        ]
    else:
        source = ["type=bind", f"source={mount.source}", *(["readonly"] if mount.read_only else [])]
    fields = (field.replace('"', '""') for field in (*source, f"target={mount.target}"))
    return ",".join(f'"{field}"' for field in fields)


def _run(context: Context, words: list[str]) -> None:
    from lamina.cli.container import run
    from lamina.cli.flags import Parser

    parsed = Parser(run.COMMAND.flags, interspersed=run.COMMAND.interspersed).parse(words)
    try:
        run.run(context, Options(parsed))
    except CommandError as failure:
        context.warn(failure.text)
