"""``lamina build --check``: what docker's linter says about a Dockerfile, in docker's form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from lamina.cli.command import Context
from lamina.errors import LaminaError

if TYPE_CHECKING:
    from lamina.builder.request import BuildRequest
    from lamina.dockerfile.rules import Finding

#: Lines that are shown around a finding of one line, and of several.
_AROUND = {True: 4, False: 2}


def check_only(context: Context, request: BuildRequest) -> int:
    """Print the findings; 1 when there are any."""
    from lamina.builder.arguments import platform_arguments
    from lamina.dockerfile.check import Surroundings, check
    from lamina.dockerfile.ignore import PatternMatcher
    from lamina.dockerfile.parser import parse
    from lamina.oci import platform as platforms

    dockerfile = parse(request.dockerfile, name=request.dockerfile_name)
    here = platforms.host()
    surroundings = Surroundings(
        request.arguments,
        platform_arguments(here, request.platform or here),
        request.target,
        request.ignored if isinstance(request.ignored, PatternMatcher) else None,
        lambda name: _environment(context, name),
    )
    findings = check(dockerfile, surroundings)
    context.print(f"Check complete, {_count(len(findings))}")
    lines = request.dockerfile.decode("utf-8", "replace").removeprefix("\ufeff").split("\n")
    for finding in findings:
        context.print(_shown(finding, lines))
    return 1 if findings else 0


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


def _shown(finding: Finding, lines: list[str]) -> str:
    """Rule, message and the lines, those that are meant marked."""
    first, last = finding.location.line, min(finding.location.end_line, len(lines))
    start, end = _surrounding(first, last, len(lines))
    title = f"\nWARNING: {finding.rule}" + (f" - {finding.url}" if finding.url else "")
    source = [
        f" {number:>3} | {'>>>' if first <= number <= last else '   '} {lines[number - 1].rstrip(chr(13))}"
        for number in range(start, end + 1)
    ]
    rule = "-" * 20
    return "\n".join([title, finding.message, f"{finding.location.name}:{first}", rule, *source, rule])


def _surrounding(first: int, last: int, count: int) -> tuple[int, int]:
    """The lines to show, docker's choice: alternately one more before and after, as far as there are any."""
    shown, wanted = 0, _AROUND[first == last]
    while shown < wanted:
        if first > 1:
            first -= 1
            shown += 1
        if last != count:
            last += 1
            shown += 1
        shown += 1
    return first, last
