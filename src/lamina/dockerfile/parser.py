"""A Dockerfile's bytes to its stages and their instructions."""

from __future__ import annotations

from lamina.dockerfile.directives import Directives
from lamina.dockerfile.failure import DockerfileError, InvalidInstruction
from lamina.dockerfile.heredoc import heredocs_in
from lamina.dockerfile.instructions import (
    Arg,
    Dockerfile,
    From,
    Heredoc,
    Instruction,
    Notice,
    Origin,
    Stage,
)
from lamina.dockerfile.lines import LogicalLine, SourceLines
from lamina.dockerfile.reading import Source, read
from lamina.dockerfile.statement import parse_statement


def parse(text: bytes, *, name: str = "Dockerfile") -> Dockerfile:
    """Raises :class:`DockerfileError`. ``name`` is what errors and locations call the file."""
    lines = SourceLines(text, name)
    sources = read_sources(lines)
    instructions = [(line, _read(lines, line, source)) for line, source in sources]
    if not instructions:
        raise lines.failure_here("file with no instructions")
    arguments: list[Arg] = []
    stages: list[tuple[From, list[Instruction]]] = []
    for line, instruction in instructions:
        if isinstance(instruction, From):
            stages.append((instruction, []))
        elif stages:
            stages[-1][1].append(instruction)
        elif isinstance(instruction, Arg):
            arguments.append(instruction)
        else:
            raise lines.failure(InvalidInstruction("no build stage in current context"), line)
    if not stages:
        raise lines.failure_here("dockerfile contains no stages to build")
    warnings = tuple(
        Notice(f"Empty continuation line found in: {line.text}", line.location._replace(line=line.location.end_line))
        for line, _ in sources
        if line.empty_continuation
    )
    directives = _all_directives(text, lines.directives)
    return Dockerfile(
        name,
        tuple(arguments),
        tuple(Stage(number, source.stage, source, tuple(found)) for number, (source, found) in enumerate(stages)),
        lines.escape,
        directives.get("syntax", "").partition(" ")[0],
        directives.get("check", "").partition(" ")[0],
        warnings,
    )


def parse_instruction(text: str, *, escape: str = "\\", name: str = "ONBUILD") -> Instruction:
    """The one instruction in ``text``, heredocs included, as in ``ONBUILD`` and ``--change``.

    Raises :class:`DockerfileError`.
    """
    (instruction,) = parse_instructions(text, escape=escape, name=name)[:1]
    return instruction


def parse_instructions(text: str, *, escape: str = "\\", name: str = "--change") -> list[Instruction]:
    """The instructions in ``text``, at least one and no ``FROM``. Raises :class:`DockerfileError`."""
    lines = SourceLines(text.encode("utf-8", "surrogateescape"), name, escape)
    found: list[Instruction] = []
    for line, source in read_sources(lines):
        instruction = _read(lines, line, source)
        if isinstance(instruction, From):
            raise lines.failure(InvalidInstruction("FROM isn't allowed here"), line)
        found.append(instruction)
    if not found:
        raise lines.failure_here("file with no instructions")
    return found


def read_sources(lines: SourceLines) -> list[tuple[LogicalLine, Source]]:
    """The whole file's syntax, before any instruction is looked at."""
    sources: list[tuple[LogicalLine, Source]] = []
    for line in lines:
        try:
            statement = parse_statement(line.text, lines.escape)
            announced = heredocs_in(line.text) if statement.takes_heredocs else []
        except DockerfileError:
            raise
        except InvalidInstruction as error:
            raise lines.failure(error, line) from None
        heredocs: tuple[Heredoc, ...] = tuple(lines.heredoc(heredoc, line) for heredoc in announced)
        location = line.location._replace(end_line=lines.number)
        origin = Origin(statement.keyword, line.text.strip(), location, line.comments)
        sources.append((line, Source(statement, origin, heredocs)))
    return sources


def _read(lines: SourceLines, line: LogicalLine, source: Source) -> From | Instruction:
    try:
        return read(source)
    except InvalidInstruction as error:
        raise lines.failure(error, line) from None


def _all_directives(text: bytes, found: Directives) -> dict[str, str]:
    """``found``, or what stands below a ``#!`` line: ``syntax`` and ``check`` count there too."""
    first, _, rest = text.removeprefix(b"\xef\xbb\xbf").partition(b"\n")
    if not first.startswith(b"#!"):
        return found.values
    directives = Directives()
    for raw in rest.split(b"\n", 8)[:8]:
        try:
            if not directives.take(raw.decode("utf-8", "replace").strip()):
                break
        except InvalidInstruction:
            break
    return directives.values
