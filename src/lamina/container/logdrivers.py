"""Log drivers and their options: ``HostConfig.LogConfig``.

``json-file`` with ``max-size``, ``max-file``, ``compress``, ``labels`` and ``env``, and ``none``. Rules and messages:
Docker 20.10's.
"""

from __future__ import annotations

from collections.abc import Mapping

from lamina import json
from lamina.container.jsonlog import Rotation, Writer
from lamina.container.record import Container
from lamina.errors import InvalidArgument, Unsupported
from lamina.typing import Any, Protocol

JSON_FILE, NONE = "json-file", "none"
_OPTIONS = frozenset(("max-size", "max-file", "compress", "labels", "env", "mode"))
_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_MODES = ("", "blocking")


class InvalidLogOption(InvalidArgument):
    """The driver has no such option, or not with that value."""


class NoSuchDriver(InvalidArgument):
    """No log driver has that name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"logger: no log driver named '{name}' is registered")


class NotReadable(Unsupported):
    """``logs`` of a driver that keeps nothing."""

    def __init__(self) -> None:
        super().__init__("configured logging driver does not support reading")


class Log(Protocol):
    """What the monitor writes to."""

    def write(self, pieces: list[bytes], stream: str, nanoseconds: int) -> None: ...

    def close(self) -> None: ...


class _Nothing:
    """The driver ``none``."""

    def write(self, pieces: list[bytes], stream: str, nanoseconds: int) -> None:
        """Drop them."""

    def close(self) -> None:
        """Nothing is open."""


def check(document: Mapping[str, Any] | None) -> None:
    """Refuse what no container can be logged with. Raises :class:`NoSuchDriver`, :class:`InvalidLogOption`."""
    driver, options = _parts(document)
    if driver == NONE:
        return
    if driver != JSON_FILE:
        raise NoSuchDriver(driver)
    for name in options:
        if name not in _OPTIONS:
            raise InvalidLogOption(f"unknown log opt '{name}' for {driver} log driver")
    if options.get("mode", "") not in _MODES:
        raise InvalidLogOption(f"logger: logging mode not supported: {options['mode']}")


def check_values(container: Container) -> None:
    """Refuse values that can't be, which Docker does when it starts a container. Raises :class:`InvalidLogOption`."""
    driver, options = _parts(container.host_config.get("LogConfig"))
    if driver not in (JSON_FILE, NONE):  # of a container that another engine made
        raise NoSuchDriver(driver)
    try:
        _rotation(options)
    except InvalidLogOption as error:
        raise InvalidLogOption(f"failed to initialize logging driver: {error}") from None


def open_log(container: Container, path: str) -> Log:
    """Where the container's output goes."""
    driver, options = _parts(container.host_config.get("LogConfig"))
    if driver == NONE:
        return _Nothing()
    return Writer(path, _rotation(options), _attributes(container, options))


def require_readable(container: Container) -> None:
    """Raises :class:`NotReadable`."""
    if _parts(container.host_config.get("LogConfig"))[0] == NONE:
        raise NotReadable


def _parts(document: Mapping[str, Any] | None) -> tuple[str, dict[str, str]]:
    return (document or {}).get("Type") or JSON_FILE, (document or {}).get("Config") or {}


def _rotation(options: Mapping[str, str]) -> Rotation:
    limit = _size(options["max-size"]) if "max-size" in options else 0
    text = options.get("max-file", "1")
    if not (text.isascii() and text.removeprefix("-").isdigit()):
        raise InvalidLogOption(f'strconv.Atoi: parsing "{text}": invalid syntax')
    files = int(text)
    if files < 1:
        raise InvalidLogOption("max-file cannot be less than 1")
    compress = options.get("compress", "false")
    if compress not in ("true", "false"):
        raise InvalidLogOption(f'strconv.ParseBool: parsing "{compress}": invalid syntax')
    if compress == "true" and (files == 1 or not limit):
        raise InvalidLogOption("compress cannot be true when max-file is less than 2 or max-size is not set")
    return Rotation(limit, files, compress == "true")


def _size(text: str) -> int:
    """Bytes of ``10m``."""
    number = text.strip().lower().removesuffix("b")
    digits = number.rstrip("kmgt")
    unit = number[len(digits) :]
    try:
        size = int(float(digits) * _UNITS[unit])
    except (ValueError, KeyError):
        raise InvalidLogOption(f"invalid size: '{text}'") from None
    if size <= 0:
        raise InvalidLogOption("max-size must be a positive number")
    return size


def _attributes(container: Container, options: Mapping[str, str]) -> str:
    """``attrs`` of every entry: the labels and variables that ``labels`` and ``env`` name."""
    labels = container.config.get("Labels") or {}
    variables = dict(entry.partition("=")[::2] for entry in container.config.get("Env") or ())
    found = {name: labels[name] for name in options.get("labels", "").split(",") if name in labels}
    found |= {name: variables[name] for name in options.get("env", "").split(",") if name in variables}
    return json.dumps(found, ensure_ascii=False, separators=(",", ":"), sort_keys=True) if found else ""
