"""A container's ``Config``: what the user asked for on top of what the image says, checked.

Rules of the merge: Docker's (``runconfig`` and ``image.Merge`` of 20.10); messages as Docker answers.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping

from lamina.errors import InvalidArgument
from lamina.oci import dockerconfig
from lamina.typing import Any

#: Names of runtimes that Docker knows, and crun's. Whichever program is installed is used for all of them.
RUNTIMES = ("runc", "crun", "io.containerd.runc.v2", "io.containerd.runc.v1", "io.containerd.runtime.v1.linux")


class UnknownRuntime(InvalidArgument):
    """``HostConfig.Runtime`` is none of :data:`RUNTIMES`."""


class InvalidSetting(InvalidArgument):
    """A member of ``Config`` or ``HostConfig`` that no container can have."""


def merge(wanted: Mapping[str, Any], image: Mapping[str, Any]) -> dict[str, Any]:
    """``Config`` of a new container: ``wanted`` (Docker's members) over the image's. Both stay as they are.

    :raises InvalidSetting: with Docker's message.
    """
    config = dict(wanted)
    for key in ("User", "WorkingDir", "StopSignal", "Shell"):
        config[key] = wanted.get(key) or image.get(key)
    for key in ("ExposedPorts", "Volumes", "Labels"):
        merged = {**(image.get(key) or {}), **(wanted.get(key) or {})}
        config[key] = merged or (wanted.get(key) if key != "Labels" else {})
    config["Env"] = _environment(wanted.get("Env") or [], image.get("Env"))
    config["Healthcheck"] = {**(image.get("Healthcheck") or {}), **(wanted.get("Healthcheck") or {})} or None
    if not wanted.get("Entrypoint"):
        if not wanted.get("Cmd"):
            config["Cmd"] = image.get("Cmd")
        config["Entrypoint"] = image.get("Entrypoint")
    if config.get("Entrypoint") == [""]:  # --entrypoint "" takes the image's away
        config["Entrypoint"] = None
    if config.get("WorkingDir"):
        config["WorkingDir"] = _working_directory(config["WorkingDir"])
    config = dockerconfig.complete(config)
    _check(config)
    return config


def command(config: Mapping[str, Any]) -> list[str]:
    """Program and arguments. Raises :class:`InvalidSetting` when there are none."""
    words = [*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ())]
    if not words:
        raise InvalidSetting("No command specified")
    return words


def _environment(wanted: list[str], image: list[str] | None) -> list[str] | None:
    if not wanted:
        return image
    names = {entry.partition("=")[0] for entry in wanted}
    return [*wanted, *(entry for entry in image or () if entry.partition("=")[0] not in names)]


def _working_directory(path: str) -> str:
    if not path.startswith("/"):
        raise InvalidSetting(f"the working directory '{path}' is invalid, it needs to be an absolute path")
    return "/" + posixpath.normpath(path).lstrip("/")


def _check(config: Mapping[str, Any]) -> None:
    """Refuse what would reach the runtime as another text than was meant: it reads up to the first NUL byte."""
    texts = [config["User"], config["WorkingDir"], config["Hostname"], config["Domainname"]]
    for entry in config["Env"] or ():
        if "\0" in entry or not entry.partition("=")[0]:
            raise InvalidSetting(f"invalid environment variable: {entry!r}")
    texts += [*(config["Entrypoint"] or ()), *(config["Cmd"] or ()), *(config["Volumes"] or ())]
    for text in texts:
        if not isinstance(text, str) or "\0" in text:
            raise InvalidSetting(f"invalid container configuration: {text!r} is not a text without NUL bytes")
    if config.get("StopSignal"):
        from lamina.container import signals  # few images say anything about it

        signals.number(config["StopSignal"])


def check_runtime(host_config: Mapping[str, Any]) -> None:
    """Raises :class:`UnknownRuntime`."""
    if host_config["Runtime"] not in RUNTIMES:
        raise UnknownRuntime(f"Unknown runtime specified {host_config['Runtime']}")
