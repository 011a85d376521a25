"""From a statement to an instruction: what arguments and flags each one takes, and what they mean.

Rules and messages are Docker's (buildkit's ``frontend/dockerfile/instructions``).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from lamina.dockerfile import healthcheck
from lamina.dockerfile.blank import BLANKS
from lamina.dockerfile.failure import InvalidInstruction, quoted
from lamina.dockerfile.flags import Flags, Kind
from lamina.dockerfile.heredoc import announced, without_leading_tabs
from lamina.dockerfile.instructions import (
    Add,
    Arg,
    Argument,
    Cmd,
    CommandLine,
    Copy,
    Entrypoint,
    Env,
    Expose,
    From,
    Healthcheck,
    Heredoc,
    InlineFile,
    Instruction,
    Label,
    Maintainer,
    OnBuild,
    Origin,
    Pair,
    Run,
    Shell,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from lamina.dockerfile.mount import check_mount
from lamina.dockerfile.statement import KEYWORDS, Statement
from lamina.dockerfile.suggestion import nearest
from lamina.typing import NamedTuple

_STAGE_NAME = re.compile(r"[a-z][a-z0-9-_.]*\Z")
_ONBUILD = re.compile(r"\A\s*ONBUILD\s*", re.IGNORECASE)
_NO_TRIGGERS = ("FROM", "MAINTAINER")
_COPY: dict[str, Kind] = {
    "chown": "string",
    "from": "string",
    "chmod": "string",
    "link": "bool",
    "exclude": "strings",
    "parents": "bool",
}
_ADD: dict[str, Kind] = {
    "chown": "string",
    "chmod": "string",
    "link": "bool",
    "keep-git-dir": "bool",
    "checksum": "string",
    "unpack": "bool",
    "exclude": "strings",
}
_RUN: dict[str, Kind] = {"mount": "strings", "network": "string", "security": "string", "device": "strings"}


class Source(NamedTuple):
    """A statement with what belongs to it."""

    statement: Statement
    origin: Origin
    heredocs: tuple[Heredoc, ...] = ()


def read(source: Source) -> From | Instruction:
    """Raises :class:`InvalidInstruction`."""
    keyword = source.statement.keyword
    reader = _READERS.get(keyword.lower())
    if reader is None:
        name = nearest(keyword.upper(), KEYWORDS)
        hint = f" (did you mean {name.lower() if keyword.islower() else name}?)" if name else ""
        raise InvalidInstruction(f"unknown instruction: {keyword}{hint}")
    return reader(source)


def _arguments(source: Source, flags: bool = True) -> tuple[str, ...]:
    """At least one argument, and no flags."""
    arguments = source.statement.arguments
    if not arguments:
        raise InvalidInstruction(f"{source.statement.keyword.upper()} requires at least one argument")
    if flags:
        Flags(source.statement.flags, {})
    return arguments


def _argument(source: Source, flags: bool = True) -> str:
    """Exactly one argument, and no flags."""
    if len(source.statement.arguments) != 1:
        raise InvalidInstruction(f"{source.statement.keyword.upper()} requires exactly one argument")
    return _arguments(source, flags)[0]


def _command(source: Source) -> CommandLine:
    statement = source.statement
    return CommandLine(statement.arguments, not statement.json, source.heredocs)


def _from(source: Source) -> From:
    arguments = source.statement.arguments
    stage = ""
    if len(arguments) == 3 and arguments[1].lower() == "as":
        stage = arguments[2].lower()
        if not _STAGE_NAME.match(stage):
            raise InvalidInstruction(
                f"invalid name for build stage: {quoted(arguments[2])}, "
                "name can't start with a number or contain symbols",
                at=arguments[2],
            )
    elif len(arguments) != 1:
        raise InvalidInstruction("FROM requires either one or three arguments")
    flags = Flags(source.statement.flags, {"platform": "string"})
    return From(source.origin, arguments[0], flags.text("platform"), stage)


def _run(source: Source) -> Run:
    flags = Flags(source.statement.flags, _RUN)
    network = flags.text("network", "default")
    security = flags.text("security", "sandbox")
    for mount in flags.texts("mount"):
        check_mount(mount)
    if network not in ("default", "none", "host"):
        raise InvalidInstruction(f"invalid network mode {quoted(network)}", at="--network")
    if security not in ("sandbox", "insecure"):
        raise InvalidInstruction(f"security {quoted(security)} is not valid", at="--security")
    return Run(source.origin, _command(source), flags.texts("mount"), network, security, flags.texts("device"))


def _cmd(source: Source) -> Cmd:
    Flags(source.statement.flags, {})
    return Cmd(source.origin, _command(source))


def _entrypoint(source: Source) -> Entrypoint:
    Flags(source.statement.flags, {})
    return Entrypoint(source.origin, _command(source))


def _shell(source: Source) -> Shell:
    words = _arguments(source)
    if not source.statement.json:
        raise InvalidInstruction("SHELL requires the arguments to be in JSON form", at=words[0])
    return Shell(source.origin, words)


class _Files(NamedTuple):
    sources: tuple[str, ...]
    contents: tuple[InlineFile, ...]
    destination: str


def _files(source: Source, flags: Flags) -> _Files:
    name = source.statement.keyword.upper()
    *sources, destination = source.statement.arguments
    if announced(destination) is not None:
        raise InvalidInstruction(f"{name} cannot accept a heredoc as a destination", at=destination)
    contents = {heredoc.name: heredoc.content for heredoc in source.heredocs}
    paths: list[str] = []
    files: list[InlineFile] = []
    for word in sources:
        heredoc = announced(word)
        if heredoc is None:
            paths.append(word)
            continue
        content = contents.get(heredoc.name, "")
        content = without_leading_tabs(content) if heredoc.chomp else content
        files.append(InlineFile(heredoc.name, content, heredoc.expand))
    return _Files(tuple(paths), tuple(files), destination)


def _with_destination(source: Source) -> None:
    if len(source.statement.arguments) < 2:
        raise InvalidInstruction(
            f"{source.statement.keyword.upper()} requires at least two arguments, but only one was provided. "
            "Destination could not be determined"
        )


def _copy(source: Source) -> Copy:
    _with_destination(source)
    flags = Flags(source.statement.flags, _COPY)
    files = _files(source, flags)
    return Copy(
        source.origin,
        *files,
        stage=flags.text("from"),
        chown=flags.text("chown"),
        chmod=flags.text("chmod"),
        link=flags.truth("link"),
        parents=flags.truth("parents"),
        exclude=flags.texts("exclude"),
    )


def _add(source: Source) -> Add:
    _with_destination(source)
    flags = Flags(source.statement.flags, _ADD)
    files = _files(source, flags)
    return Add(
        source.origin,
        *files,
        chown=flags.text("chown"),
        chmod=flags.text("chmod"),
        link=flags.truth("link"),
        keep_git_dir=flags.truth("keep-git-dir") if "keep-git-dir" in flags else None,
        checksum=flags.text("checksum"),
        unpack=flags.truth("unpack") if "unpack" in flags else None,
        exclude=flags.texts("exclude"),
    )


def _pairs(source: Source) -> tuple[Pair, ...]:
    name = source.statement.keyword.upper()
    Flags(source.statement.flags, {})
    words = _arguments(source)
    pairs = tuple(Pair(words[n], words[n + 1], not words[n + 2]) for n in range(0, len(words), 3))
    if not all(pair.name for pair in pairs):
        raise InvalidInstruction(f"{name} names can not be blank", at=" =")
    return pairs


def _env(source: Source) -> Env:
    return Env(source.origin, _pairs(source))


def _label(source: Source) -> Label:
    return Label(source.origin, _pairs(source))


def _arg(source: Source) -> Arg:
    # Docker does not look at flags here.
    arguments: list[Argument] = []
    for word in _arguments(source, flags=False):
        name, equals, value = word.partition("=")
        if not name:
            raise InvalidInstruction("ARG names can not be blank", at=word)
        description = next((c[len(name) + 1 :] for c in source.origin.comments if c.startswith(name + " ")), "")
        arguments.append(Argument(name, value if equals else None, description))
    return Arg(source.origin, tuple(arguments))


def _expose(source: Source) -> Expose:
    return Expose(source.origin, tuple(sorted(_arguments(source))))


def _volume(source: Source) -> Volume:
    paths = tuple(path.strip(BLANKS) for path in _arguments(source))
    if not all(paths):
        raise InvalidInstruction("VOLUME specified can not be an empty string")
    return Volume(source.origin, paths)


def _user(source: Source) -> User:
    return User(source.origin, _argument(source))


def _workdir(source: Source) -> Workdir:
    return Workdir(source.origin, _argument(source))


def _stopsignal(source: Source) -> StopSignal:
    # Docker does not look at flags here.
    return StopSignal(source.origin, _argument(source, flags=False))


def _maintainer(source: Source) -> Maintainer:
    return Maintainer(source.origin, _argument(source))


def _healthcheck(source: Source) -> Healthcheck:
    statement = source.statement
    return Healthcheck(
        source.origin, healthcheck.read(_arguments(source, flags=False), statement.flags, statement.json)
    )


def _onbuild(source: Source) -> OnBuild:
    trigger = _arguments(source)[0].strip(BLANKS).upper()
    if trigger == "ONBUILD":
        raise InvalidInstruction("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if trigger in _NO_TRIGGERS:
        raise InvalidInstruction(f"{trigger} isn't allowed as an ONBUILD trigger")
    parts = [_ONBUILD.sub("", source.origin.text)]
    parts += [f"\n{heredoc.content}{heredoc.name}" for heredoc in source.heredocs]
    return OnBuild(source.origin, "".join(parts))


_READERS: dict[str, Callable[[Source], From | Instruction]] = {
    "add": _add,
    "arg": _arg,
    "cmd": _cmd,
    "copy": _copy,
    "entrypoint": _entrypoint,
    "env": _env,
    "expose": _expose,
    "from": _from,
    "healthcheck": _healthcheck,
    "label": _label,
    "maintainer": _maintainer,
    "onbuild": _onbuild,
    "run": _run,
    "shell": _shell,
    "stopsignal": _stopsignal,
    "user": _user,
    "volume": _volume,
    "workdir": _workdir,
}
