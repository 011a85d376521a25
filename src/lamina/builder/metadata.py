"""Instructions that change nothing but the configuration, and the text that each leaves in the history.

Rules and texts: Docker 20.10's classic builder. The instructions come with their variables expanded.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable

from lamina.builder import gotext, texts
from lamina.builder.stage import StageState
from lamina.dockerfile import instructions as kinds
from lamina.dockerfile import ports
from lamina.errors import InvalidArgument
from lamina.typing import Any


class InvalidValue(InvalidArgument):
    """An instruction's value that no configuration can have, once its variables are known."""


def apply(state: StageState, instruction: kinds.Instruction) -> str | None:
    """Change ``state.config``; the comment for the history. ``None`` for an instruction that changes files."""
    handler = _HANDLERS.get(type(instruction))
    return handler(state, instruction) if handler is not None else None


def command_words(config: dict[str, Any], command: kinds.CommandLine) -> list[str]:
    """What a command in shell or exec form runs."""
    if not command.shell:
        return list(command.words)
    return [*texts.shell_of(config), *command.words] if command.words else texts.shell_of(config)


def working_directory(config: dict[str, Any], path: str) -> str:
    """The new working directory: an absolute one as it stands, a relative one below the old."""
    if not path:
        raise InvalidValue("cannot normalize nothing")
    if path.startswith("/"):
        return path
    return "/" + posixpath.normpath(posixpath.join("/", config.get("WorkingDir") or "", path)).lstrip("/")


def _arg(state: StageState, instruction: kinds.Arg) -> str:
    words = []
    for argument in instruction.arguments:
        state.arguments.declare(argument.name, argument.default)
        words.append(argument.name if argument.default is None else f"{argument.name}={argument.default}")
    return "ARG " + " ".join(words)


def _cmd(state: StageState, instruction: kinds.Cmd) -> str:
    words = command_words(state.config, instruction.command)
    state.config["Cmd"] = words
    state.command_set = state.command_set or bool(instruction.command.words)
    return f"CMD {gotext.quoted_list(words)}"


def _entrypoint(state: StageState, instruction: kinds.Entrypoint) -> str:
    words = command_words(state.config, instruction.command)
    state.config["Entrypoint"] = words or None
    if not state.command_set:
        state.config["Cmd"] = None
    return f"ENTRYPOINT {gotext.quoted_list(words)}"


def _env(state: StageState, instruction: kinds.Env) -> str:
    environment = list(state.config.get("Env") or [])
    words = ["ENV"]
    for pair in instruction.pairs:
        entry = f"{pair.name}={pair.value}"
        words.append(entry)
        for number, before in enumerate(environment):
            if before.partition("=")[0] == pair.name:
                environment[number] = entry
                break
        else:
            environment.append(entry)
    state.config["Env"] = environment
    return " ".join(words)


def _expose(state: StageState, instruction: kinds.Expose) -> str:
    exposed = dict(state.config.get("ExposedPorts") or {})
    for specification in instruction.ports:
        exposed.update({port: {} for port in ports.exposed(specification)})
    state.config["ExposedPorts"] = exposed
    return "EXPOSE " + " ".join(instruction.ports)


def _healthcheck(state: StageState, instruction: kinds.Healthcheck) -> str:
    # Docker merges a step's configuration with its parent's: what the new check leaves open is the old one's.
    state.config["Healthcheck"] = {**(state.config.get("Healthcheck") or {}), **instruction.check}
    return f"HEALTHCHECK {texts.healthcheck(instruction.check)}"


def _label(state: StageState, instruction: kinds.Label) -> str:
    labels = dict(state.config.get("Labels") or {})
    words = ["LABEL"]
    for pair in instruction.pairs:
        labels[pair.name] = pair.value
        words.append(f"{pair.name}={pair.value}")
    state.config["Labels"] = labels
    return " ".join(words)


def _maintainer(state: StageState, instruction: kinds.Maintainer) -> str:
    state.author = instruction.author
    return f"MAINTAINER {instruction.author}"


def _onbuild(state: StageState, instruction: kinds.OnBuild) -> str:
    state.config["OnBuild"] = [*(state.config.get("OnBuild") or []), instruction.expression]
    return f"ONBUILD {instruction.expression}"


def _shell(state: StageState, instruction: kinds.Shell) -> str:
    state.config["Shell"] = list(instruction.words)
    return f"SHELL {gotext.plain_list(instruction.words)}"


def _stopsignal(state: StageState, instruction: kinds.StopSignal) -> str:
    if not ports.is_signal(instruction.signal):
        raise InvalidValue(f"Invalid signal: {instruction.signal}")
    state.config["StopSignal"] = instruction.signal
    return f"STOPSIGNAL {instruction.signal}"


def _user(state: StageState, instruction: kinds.User) -> str:
    state.config["User"] = instruction.user
    return f"USER {instruction.user}"


def _volume(state: StageState, instruction: kinds.Volume) -> str:
    volumes = dict(state.config.get("Volumes") or {})
    for path in instruction.paths:
        if not path:
            raise InvalidValue("VOLUME specified can not be an empty string")
        volumes[path] = {}
    state.config["Volumes"] = volumes
    return f"VOLUME {gotext.plain_list(instruction.paths)}"


_HANDLERS: dict[type, Callable[[StageState, Any], str]] = {
    kinds.Arg: _arg,
    kinds.Cmd: _cmd,
    kinds.Entrypoint: _entrypoint,
    kinds.Env: _env,
    kinds.Expose: _expose,
    kinds.Healthcheck: _healthcheck,
    kinds.Label: _label,
    kinds.Maintainer: _maintainer,
    kinds.OnBuild: _onbuild,
    kinds.Shell: _shell,
    kinds.StopSignal: _stopsignal,
    kinds.User: _user,
    kinds.Volume: _volume,
}
