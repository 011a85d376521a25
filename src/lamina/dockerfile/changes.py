"""``--change`` of ``docker commit`` and ``docker import``: instructions that alter an image's execution parameters.

Source of the rules: Docker's "Dockerfile reference"; messages as Docker Engine 20.10 answers, with ``STOPSIGNAL``
from later engines.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lamina.dockerfile import healthcheck, ports, words
from lamina.dockerfile.words import InvalidInstruction

_DEFAULT_SHELL = ["/bin/sh", "-c"]
_TRIGGERS_REFUSED = ("FROM", "MAINTAINER")


def apply(config: Mapping[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """A copy of ``config`` (Docker's ``container.Config`` members) after the instructions in ``changes``.

    Raises :class:`InvalidInstruction` with Docker's message; ``config`` itself stays as it is.
    """
    instructions = [line for change in changes for line in _logical_lines(change)]
    if changes and not instructions:
        raise InvalidInstruction("file with no instructions")
    editing = _Editing(dict(config))
    for line in instructions:
        name, _, rest = line.replace("\t", " ", 1).partition(" ")
        handler = _HANDLERS.get(name.lower())
        if handler is None:
            raise InvalidInstruction(f"{name.lower()} is not a valid change command")
        handler(editing, rest.strip())
    return editing.config


def _logical_lines(text: str) -> list[str]:
    """Instructions of ``text``: comments and empty lines dropped, continued lines joined."""
    lines: list[str] = []
    pending = ""
    for raw in text.split("\n"):
        line = raw.rstrip("\r")
        if line.lstrip().startswith("#") or (pending and not line.strip()):
            continue
        body = line.rstrip()
        if body.endswith("\\") and not body.endswith("\\\\"):
            pending += body[:-1]
            continue
        lines.append((pending + line).strip())
        pending = ""
    return [line for line in [*lines, pending.strip()] if line]


class _Editing:
    """The configuration while it is being changed. ``command_set``: an instruction so far said ``CMD``."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.command_set = False

    def expand(self, text: str) -> str:
        variables = dict(entry.partition("=")[::2] for entry in reversed(self.config.get("Env") or []))
        return words.expand(text, variables)

    def shell_or_exec(self, text: str) -> list[str]:
        parsed = _json_list(text)
        if parsed is not None:
            return parsed
        return [*(self.config.get("Shell") or _DEFAULT_SHELL), *([text] if text else [])]


def _json_list(text: str) -> list[str] | None:
    """The exec form: a JSON array of strings; ``None`` for anything else, which is then shell text."""
    if not text.startswith("["):
        return None
    try:
        value, _ = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return None
    if not all(isinstance(item, str) for item in value):
        raise InvalidInstruction("when using JSON array syntax, arrays must be comprised of strings only")
    return list(value)


def _cmd(editing: _Editing, text: str) -> None:
    editing.config["Cmd"] = editing.shell_or_exec(text)
    editing.command_set = True


def _entrypoint(editing: _Editing, text: str) -> None:
    editing.config["Entrypoint"] = (editing.shell_or_exec(text) if text else None) or None
    if not editing.command_set:
        editing.config["Cmd"] = None


def _env(editing: _Editing, text: str) -> None:
    expanded = [(editing.expand(name), editing.expand(value)) for name, value in words.pairs("ENV", text)]
    environment = list(editing.config.get("Env") or [])
    for name, value in expanded:
        for number, entry in enumerate(environment):
            if entry.partition("=")[0] == name:
                environment[number] = f"{name}={value}"
                break
        else:
            environment.append(f"{name}={value}")
    editing.config["Env"] = environment


def _label(editing: _Editing, text: str) -> None:
    labels = dict(editing.config.get("Labels") or {})
    for name, value in words.pairs("LABEL", text):
        labels[editing.expand(name)] = editing.expand(value)
    editing.config["Labels"] = labels


def _expose(editing: _Editing, text: str) -> None:
    if not text:
        raise InvalidInstruction("EXPOSE requires at least one argument")
    exposed = dict(editing.config.get("ExposedPorts") or {})
    for word in words.split(text):
        for specification in editing.expand(word).split():
            exposed.update({port: {} for port in ports.exposed(specification)})
    editing.config["ExposedPorts"] = exposed


def _volume(editing: _Editing, text: str) -> None:
    if not text:
        raise InvalidInstruction("VOLUME requires at least one argument")
    paths = _json_list(text)
    if paths is None:
        paths = text.split()
    volumes = dict(editing.config.get("Volumes") or {})
    for path in paths:
        expanded = editing.expand(path).strip()
        if not expanded:
            raise InvalidInstruction("VOLUME specified can not be an empty string")
        volumes[expanded] = {}
    editing.config["Volumes"] = volumes


def _single(editing: _Editing, instruction: str, text: str) -> str:
    if not text:
        raise InvalidInstruction(f"{instruction} requires exactly one argument")
    return editing.expand(text)


def _user(editing: _Editing, text: str) -> None:
    editing.config["User"] = _single(editing, "USER", text)


def _workdir(editing: _Editing, text: str) -> None:
    requested = _single(editing, "WORKDIR", text)
    if not requested:
        raise InvalidInstruction("cannot normalize nothing")
    if not requested.startswith("/"):
        requested = posixpath.normpath(posixpath.join("/", editing.config.get("WorkingDir") or "", requested))
    editing.config["WorkingDir"] = requested


def _stopsignal(editing: _Editing, text: str) -> None:
    signal = _single(editing, "STOPSIGNAL", text)
    if not ports.is_signal(signal):
        raise InvalidInstruction(f"Invalid signal: {signal}")
    editing.config["StopSignal"] = signal


def _onbuild(editing: _Editing, text: str) -> None:
    if not text:
        raise InvalidInstruction("ONBUILD requires at least one argument")
    trigger = text.split(maxsplit=1)[0].upper()
    if trigger == "ONBUILD":
        raise InvalidInstruction("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if trigger in _TRIGGERS_REFUSED:
        raise InvalidInstruction(f"{trigger} isn't allowed as an ONBUILD trigger")
    editing.config["OnBuild"] = [*(editing.config.get("OnBuild") or []), text]


def _healthcheck(editing: _Editing, text: str) -> None:
    editing.config["Healthcheck"] = healthcheck.parse(text, _json_list)


_HANDLERS: dict[str, Callable[[_Editing, str], None]] = {
    "cmd": _cmd,
    "entrypoint": _entrypoint,
    "env": _env,
    "expose": _expose,
    "healthcheck": _healthcheck,
    "label": _label,
    "onbuild": _onbuild,
    "stopsignal": _stopsignal,
    "user": _user,
    "volume": _volume,
    "workdir": _workdir,
}
