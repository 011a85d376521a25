"""``--change`` of ``docker commit`` and ``docker import``: instructions that alter an image's execution parameters.

Source of the rules: Docker's "Dockerfile reference"; messages as Docker Engine answers.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping, Sequence

from lamina.dockerfile import ports
from lamina.dockerfile.expansion import expanded
from lamina.dockerfile.failure import DockerfileError, InvalidInstruction
from lamina.dockerfile.instructions import (
    Cmd,
    CommandLine,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Label,
    OnBuild,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from lamina.dockerfile.lines import SourceLines
from lamina.dockerfile.parser import read_sources
from lamina.dockerfile.reading import read
from lamina.typing import Any

_DEFAULT_SHELL = ["/bin/sh", "-c"]


def apply(config: Mapping[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """A copy of ``config`` (Docker's ``container.Config`` members) after the instructions in ``changes``.

    Raises :class:`InvalidInstruction` with Docker's message; ``config`` itself stays as it is.
    """
    lines = SourceLines("\n".join(changes).encode("utf-8", "surrogateescape"), "--change")
    try:
        sources = read_sources(lines)
    except DockerfileError as error:
        raise InvalidInstruction(error.reason) from None
    if changes and not sources:
        raise InvalidInstruction("file with no instructions")
    editing = _Editing(dict(config))
    for _, source in sources:
        keyword = source.statement.keyword.lower()
        if keyword not in _ALLOWED:
            raise InvalidInstruction(f"{keyword} is not a valid change command")
        instruction = expanded(read(source), editing.variables(), lines.escape)
        _HANDLERS[type(instruction)](editing, instruction)
    return editing.config


class _Editing:
    """The configuration while it is being changed. ``command_set``: an instruction so far said ``CMD``."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.command_set = False

    def variables(self) -> dict[str, str]:
        return dict(entry.partition("=")[::2] for entry in reversed(self.config.get("Env") or []))

    def words(self, command: CommandLine) -> list[str]:
        return [*(self.config.get("Shell") or _DEFAULT_SHELL), *command.words] if command.shell else [*command.words]


def _cmd(editing: _Editing, instruction: Cmd) -> None:
    editing.config["Cmd"] = editing.words(instruction.command)
    editing.command_set = True


def _entrypoint(editing: _Editing, instruction: Entrypoint) -> None:
    editing.config["Entrypoint"] = editing.words(instruction.command) if instruction.command.words else None
    if not editing.command_set:
        editing.config["Cmd"] = None


def _env(editing: _Editing, instruction: Env) -> None:
    environment = list(editing.config.get("Env") or [])
    for name, value, _ in instruction.pairs:
        for number, entry in enumerate(environment):
            if entry.partition("=")[0] == name:
                environment[number] = f"{name}={value}"
                break
        else:
            environment.append(f"{name}={value}")
    editing.config["Env"] = environment


def _label(editing: _Editing, instruction: Label) -> None:
    added = {pair.name: pair.value for pair in instruction.pairs}
    editing.config["Labels"] = {**(editing.config.get("Labels") or {}), **added}


def _expose(editing: _Editing, instruction: Expose) -> None:
    added: dict[str, Any] = {port: {} for text in instruction.ports for port in ports.exposed(text)}
    editing.config["ExposedPorts"] = {**(editing.config.get("ExposedPorts") or {}), **added}


def _volume(editing: _Editing, instruction: Volume) -> None:
    if not all(instruction.paths):
        raise InvalidInstruction("VOLUME specified can not be an empty string")
    editing.config["Volumes"] = {**(editing.config.get("Volumes") or {}), **{path: {} for path in instruction.paths}}


def _user(editing: _Editing, instruction: User) -> None:
    editing.config["User"] = instruction.user


def _workdir(editing: _Editing, instruction: Workdir) -> None:
    requested = instruction.path
    if not requested:
        raise InvalidInstruction("cannot normalize nothing")
    if not requested.startswith("/"):
        requested = posixpath.normpath(posixpath.join("/", editing.config.get("WorkingDir") or "", requested))
    editing.config["WorkingDir"] = requested


def _stopsignal(editing: _Editing, instruction: StopSignal) -> None:
    if not ports.is_signal(instruction.signal):
        raise InvalidInstruction(f"Invalid signal: {instruction.signal}")
    editing.config["StopSignal"] = instruction.signal


def _onbuild(editing: _Editing, instruction: OnBuild) -> None:
    editing.config["OnBuild"] = [*(editing.config.get("OnBuild") or []), instruction.expression]


def _healthcheck(editing: _Editing, instruction: Healthcheck) -> None:
    editing.config["Healthcheck"] = instruction.check


_HANDLERS: dict[type, Callable[[_Editing, Any], None]] = {
    Cmd: _cmd,
    Entrypoint: _entrypoint,
    Env: _env,
    Expose: _expose,
    Healthcheck: _healthcheck,
    Label: _label,
    OnBuild: _onbuild,
    StopSignal: _stopsignal,
    User: _user,
    Volume: _volume,
    Workdir: _workdir,
}
_ALLOWED = {kind.__name__.lower() for kind in _HANDLERS}
