"""Log drivers and their options: ``HostConfig.LogConfig``.

``json-file``, ``local``, ``syslog``, ``journald`` and ``none``. What can't be read back is kept in Docker's ``local``
form, too, so that ``logs`` shows it. Rules, defaults and messages: Docker 20.10's.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from lamina.container.record import Container
from lamina.errors import InvalidArgument, Unsupported
from lamina.typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from lamina.container.jsonlog import Rotation
    from lamina.container.logs import Form

JSON_FILE, LOCAL, SYSLOG, JOURNALD, NONE = "json-file", "local", "syslog", "journald", "none"
#: For every driver: how it is written to, and what is kept of what can't be read back.
_COMMON = frozenset(("mode", "max-buffer-size", "cache-disabled", "cache-max-size", "cache-max-file", "cache-compress"))
_ATTRIBUTES = frozenset(("labels", "labels-regex", "env", "env-regex", "tag"))
_FILES = frozenset(("max-size", "max-file", "compress"))
_OPTIONS = {
    JSON_FILE: _FILES | _ATTRIBUTES,
    LOCAL: _FILES,
    SYSLOG: _ATTRIBUTES
    | {f"syslog-{name}" for name in ("address", "facility", "format")}
    | {f"syslog-tls-{name}" for name in ("ca-cert", "cert", "key", "skip-verify")},
    JOURNALD: _ATTRIBUTES,
}
_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_BLOCKING, _NON_BLOCKING = "blocking", "non-blocking"


class InvalidLogOption(InvalidArgument):
    """The driver has no such option, or not with that value."""


class NoSuchDriver(InvalidArgument):
    """No log driver has that name."""

    def __init__(self, name: str) -> None:
        super().__init__(f'error looking up logging plugin {name}: plugin "{name}" not found')


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


class _Kept:
    """A log that can't be read back, and the file that can."""

    def __init__(self, log: Log, kept: Log) -> None:
        self._logs = (log, kept)

    def write(self, pieces: list[bytes], stream: str, nanoseconds: int) -> None:
        for log in self._logs:
            log.write(pieces, stream, nanoseconds)

    def close(self) -> None:
        for log in self._logs:
            log.close()


class Place(NamedTuple):
    """Where ``logs`` finds entries, and in which form."""

    path: str
    form: Form


class Defaults(NamedTuple):
    """``log-driver`` and ``log-opts`` of daemon.json."""

    driver: str = JSON_FILE
    options: tuple[tuple[str, str], ...] = ()

    def complete(self, document: Mapping[str, Any] | None) -> dict[str, Any]:
        """``LogConfig`` with what is said here where it says nothing itself."""
        given = document or {}
        driver = given.get("Type") or self.driver
        own = given.get("Config") or {}
        return {"Type": driver, "Config": {**dict(self.options), **own} if driver == self.driver else dict(own)}


def check(document: Mapping[str, Any] | None) -> None:
    """Refuse what no container can be logged with. Raises :class:`NoSuchDriver`, :class:`InvalidLogOption`."""
    driver, options = _parts(document)
    if driver == NONE:
        return
    if driver not in _OPTIONS:
        raise NoSuchDriver(driver)
    _check_mode(options)
    for name in options:
        if name not in _OPTIONS[driver] and name not in _COMMON:
            where = f"log driver {LOCAL}" if driver == LOCAL else f"{driver} log driver"
            raise InvalidLogOption(f"unknown log opt '{name}' for {where}")
    if driver == SYSLOG:
        from lamina.container import sysloglog  # few containers need it

        sysloglog.Settings.of(options)


def _check_mode(options: Mapping[str, str]) -> None:
    mode = options.get("mode", "")
    if mode not in ("", _BLOCKING, _NON_BLOCKING):
        raise InvalidLogOption(f"logger: logging mode not supported: {mode}")
    if "max-buffer-size" not in options:
        return
    if mode != _NON_BLOCKING:
        raise InvalidLogOption("logger: max-buffer-size option is only supported with 'mode=non-blocking'")
    try:
        _bytes(options["max-buffer-size"])
    except InvalidLogOption as error:
        raise InvalidLogOption(f"error parsing option max-buffer-size: {error}") from None


def check_values(container: Container, path: str) -> None:
    """Refuse values that can't be, and servers that do not answer, which Docker does when it starts a container.

    Raises :class:`InvalidLogOption`.

    :param path: as for :func:`open_log`.
    """
    driver, options = _parts(container.host_config.get("LogConfig"))
    if driver not in (*_OPTIONS, NONE):  # of a container that another engine made
        raise NoSuchDriver(driver)
    try:
        if driver == JSON_FILE:
            _rotation(options)
            _attributes(container, options, path)
        elif driver == LOCAL:
            _local_rotation(options)
        elif driver != NONE:
            _local_rotation(_cache_options(options))
            _open_sink(driver, container, options).close()
    except (InvalidArgument, OSError) as error:
        said = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
        raise InvalidLogOption(f"failed to initialize logging driver: {said}") from None


def open_log(container: Container, path: str) -> Log:
    """Where the container's output goes.

    :param path: of the log as json-file has it; other drivers have theirs beside it.
    """
    driver, options = _parts(container.host_config.get("LogConfig"))
    if driver == NONE:
        return _Nothing()
    log = _open(driver, container, options, path)
    if options.get("mode") != _NON_BLOCKING:
        return log
    from lamina.container import ringlog  # few containers need it

    return ringlog.RingLog(log, _bytes(options.get("max-buffer-size", str(ringlog.LIMIT))))


def _open(driver: str, container: Container, options: Mapping[str, str], path: str) -> Log:
    if driver == JSON_FILE:
        from lamina.container.jsonlog import Writer  # making a container loads no log

        return Writer(path, _rotation(options), _attributes(container, options, path))
    from lamina.container import locallog  # few containers need it

    directory = os.path.dirname(path)
    if driver == LOCAL:
        place = os.path.join(directory, locallog.PATH)
        os.makedirs(os.path.dirname(place), 0o700, exist_ok=True)
        return locallog.Writer(place, _local_rotation(options))
    try:
        sink = _open_sink(driver, container, options)
    except (OSError, InvalidArgument):  # the server, or a file, has gone since the start was allowed
        sink = _Nothing()
    if _is_not_kept(options):
        return sink
    kept = locallog.Writer(os.path.join(directory, locallog.CACHE_PATH), _local_rotation(_cache_options(options)))
    return _Kept(sink, kept)


def _open_sink(driver: str, container: Container, options: Mapping[str, str]) -> Log:
    from lamina.container import journaldlog, logattributes, sysloglog  # few containers need them

    tag = logattributes.tag(container, options, logattributes.DEFAULT_TAG, log_path="")
    if driver == SYSLOG:
        return sysloglog.Writer(sysloglog.Settings.of(options), tag)
    fields = {
        "CONTAINER_ID": container.id[:12],
        "CONTAINER_ID_FULL": container.id,
        "CONTAINER_NAME": container.name,
        "CONTAINER_TAG": tag,
        "IMAGE_NAME": str(container.config.get("Image") or ""),
        "SYSLOG_IDENTIFIER": tag,
        **logattributes.attributes(container, options, journaldlog.field_name),
    }
    if not os.path.exists(journaldlog.SOCKET):
        raise InvalidLogOption("journald is not enabled on this host")
    return journaldlog.Writer(fields)


def shown_path(container: Container, path: str) -> str:
    """``LogPath`` of ``inspect``: only json-file has one."""
    return path if _parts(container.host_config.get("LogConfig"))[0] == JSON_FILE else ""


def place_of(container: Container, path: str) -> Place:
    """What ``logs`` reads. Raises :class:`NotReadable`.

    :param path: as for :func:`open_log`.
    """
    driver, options = _parts(container.host_config.get("LogConfig"))
    if driver == JSON_FILE:
        from lamina.container import jsonlog

        return Place(path, jsonlog)
    from lamina.container import locallog  # few containers need it

    directory = os.path.dirname(path)
    if driver == LOCAL:
        return Place(os.path.join(directory, locallog.PATH), locallog)
    if driver == NONE or _is_not_kept(options):
        raise NotReadable
    return Place(os.path.join(directory, locallog.CACHE_PATH), locallog)


def _is_not_kept(options: Mapping[str, str]) -> bool:
    return options.get("cache-disabled", "").lower() in ("1", "t", "true")


def _cache_options(options: Mapping[str, str]) -> dict[str, str]:
    return {name.removeprefix("cache-"): value for name, value in options.items() if name.startswith("cache-")}


def _parts(document: Mapping[str, Any] | None) -> tuple[str, dict[str, str]]:
    return (document or {}).get("Type") or JSON_FILE, (document or {}).get("Config") or {}


def _rotation(options: Mapping[str, str]) -> Rotation:
    from lamina.container.jsonlog import Rotation

    limit = _size(options["max-size"]) if "max-size" in options else 0
    files = _count(options.get("max-file", "1"))
    if files < 1:
        raise InvalidLogOption("max-file cannot be less than 1")
    compress = _boolean(options.get("compress", "false"))
    if compress and (files == 1 or not limit):
        raise InvalidLogOption("compress cannot be true when max-file is less than 2 or max-size is not set")
    return Rotation(limit, files, compress)


def _local_rotation(options: Mapping[str, str]) -> Rotation:
    from lamina.container import locallog  # few containers need it
    from lamina.container.jsonlog import Rotation

    default = locallog.DEFAULT_ROTATION
    limit = _bytes(options["max-size"]) if "max-size" in options else default.limit
    files = _count(options["max-file"]) if "max-file" in options else default.files
    try:
        compress = _boolean(options["compress"]) if "compress" in options else default.compress
    except InvalidLogOption as error:
        raise InvalidLogOption(f"error reading compress log option: {error}") from None
    if compress and files < 2:
        raise InvalidLogOption("compression cannot be enabled when max file count is 1")
    return Rotation(limit, max(files, 1), compress)


def _count(text: str) -> int:
    if not (text.isascii() and text.removeprefix("-").isdigit()):
        raise InvalidLogOption(f'strconv.Atoi: parsing "{text}": invalid syntax')
    return int(text)


def _boolean(text: str) -> bool:
    if text not in ("true", "false"):
        raise InvalidLogOption(f'strconv.ParseBool: parsing "{text}": invalid syntax')
    return text == "true"


def _size(text: str) -> int:
    size = _bytes(text)
    if size <= 0:
        raise InvalidLogOption("max-size must be a positive number")
    return size


def _bytes(text: str) -> int:
    """Bytes of ``10m``."""
    number = text.strip().lower().removesuffix("b")
    digits = number.rstrip("kmgt")
    unit = number[len(digits) :]
    try:
        return int(float(digits) * _UNITS[unit])
    except (ValueError, KeyError):
        raise InvalidLogOption(f"invalid size: '{text}'") from None


def _attributes(container: Container, options: Mapping[str, str], path: str) -> str:
    """``attrs`` of every entry: labels, variables and the tag that the options name."""
    if not _ATTRIBUTES & options.keys():
        return ""
    from lamina.container import logattributes  # few containers need it
    from lamina.oci import gojson

    found = logattributes.attributes(container, options)
    if options.get("tag"):
        found["tag"] = logattributes.tag(container, options, "", path)
    return gojson.encode(dict(sorted(found.items()))).decode() if found else ""
