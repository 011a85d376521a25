"""``lamina build --check``: what docker's linter says about a Dockerfile, in docker's form."""

from __future__ import annotations

from collections.abc import Mapping

from lamina.cli.command import CommandError, Context
from lamina.errors import LaminaError
from lamina.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamina.builder.progress import Steps
    from lamina.builder.request import BuildRequest
    from lamina.builder.wasting import Waste
    from lamina.dockerfile.rules import Finding, Options
    from lamina.oci.platform import Platform

#: Build argument with options that come before those of the ``check`` directive.
ARGUMENT = "BUILDKIT_DOCKERFILE_CHECK"


def check_only(context: Context, request: BuildRequest) -> int:
    """Print the findings; 1 when there are any."""
    findings, _ = _checked(context, request)
    context.print(f"Check complete, {_count(len(findings))}")
    from lamina.cli.builder.advice import advice
    from lamina.cli.builder.excerpt import source_lines

    lines = source_lines(request.dockerfile)
    for finding in findings:
        context.print(_shown(finding, lines))
    for text in advice(_waste(context, request), request):
        context.print(text)
    return 1 if findings else 0


def refuse_violations(context: Context, request: BuildRequest) -> None:
    """Raise ``CommandError`` when there are findings that ``# check=error=true`` makes errors."""
    if b"error" not in request.dockerfile and ARGUMENT not in request.arguments:
        return
    findings, options = _checked(context, request)
    if findings and options.error:
        rules = ", ".join(dict.fromkeys(finding.rule for finding in findings))
        raise CommandError(f"{_summary(findings)}\nlint violation found for rules: {rules}")


def tell_findings(context: Context, request: BuildRequest, steps: Steps) -> None:
    """The findings in a line each, as a build ends."""
    findings, _ = _checked(context, request)
    if findings:
        steps.warn(_summary(findings))


def _summary(findings: list[Finding]) -> str:
    count = "1 warning" if len(findings) == 1 else f"{len(findings)} warnings"
    lines = [f" - {finding.rule}: {finding.message} (line {finding.location.line})" for finding in findings]
    return "\n".join([f"{count} found (use --check to see more):", *lines])


def _checked(context: Context, request: BuildRequest) -> tuple[list[Finding], Options]:
    """What the rules say, and which count."""
    from lamina.builder.arguments import platform_arguments
    from lamina.dockerfile.check import Surroundings, check
    from lamina.dockerfile.ignore import PatternMatcher
    from lamina.dockerfile.parser import parse
    from lamina.dockerfile.rules import parse_options
    from lamina.oci import platform as platforms

    dockerfile = parse(request.dockerfile, name=request.dockerfile_name)
    options = parse_options(request.arguments.get(ARGUMENT) or dockerfile.check)
    here = platforms.host()
    surroundings = Surroundings(
        request.arguments,
        platform_arguments(here, request.platform or here),
        request.target,
        request.ignored if isinstance(request.ignored, PatternMatcher) else None,
        lambda name: _environment(context, name),
        lambda name: _platform(context, name),
    )
    return check(dockerfile, surroundings, options), options


def _waste(context: Context, request: BuildRequest) -> tuple[Waste, ...]:
    """What wastes space, as far as the cache knows: nothing is known of what was not built here as it stands."""
    try:
        return context.engine().builds.seen_waste(request)
    except (LaminaError, OSError):
        return ()


def _count(number: int) -> str:
    if not number:
        return "no warnings found."
    return "1 warning has been found!" if number == 1 else f"{number} warnings have been found!"


def _environment(context: Context, name: str) -> Mapping[str, str] | None:
    """The variables of a base image, ``None`` for one that is not here."""
    if name == "scratch":
        return {}
    try:
        config = context.engine().images.get(name).config
    except LaminaError:
        return None
    return dict(entry.partition("=")[::2] for entry in config.get("Env") or ())


def _platform(context: Context, name: str) -> Platform | None:
    """What a base image is for, ``None`` for one that is not here."""
    if name == "scratch":
        return None
    try:
        return context.engine().image_store.resolve(name).config.platform
    except LaminaError:
        return None


def _shown(finding: Finding, lines: list[str]) -> str:
    """Rule, message and the lines, those that are meant marked."""
    from lamina.cli.builder.excerpt import excerpt

    where = finding.location
    title = f"\nWARNING: {finding.rule}" + (f" - {finding.url}" if finding.url else "")
    return "\n".join([title, finding.message, excerpt(where.name, lines, where.line, where.end_line)])
