"""``RUN --mount=type=...,...``."""

from __future__ import annotations

import re
from collections.abc import Callable

from lamina.dockerfile.failure import InvalidInstruction, quoted
from lamina.dockerfile.suggestion import did_you_mean
from lamina.typing import Any, NamedTuple

_TYPES = ("bind", "cache", "tmpfs", "secret", "ssh")
_SHARING = ("shared", "private", "locked")
_KEYS = (
    *("type", "from", "source", "target", "readonly", "id", "sharing", "required", "size", "mode", "uid", "gid"),
    *("src", "dst", "destination", "ro", "rw", "readwrite", "env"),
)
_ALIASES = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly", "rw": "readwrite"}
_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("0", "f", "F", "FALSE", "false", "False")
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(?:([kKmMgGtTpP])[iI]?)?[bB]?\Z")
_POWER = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_LARGEST_ID = (1 << 32) - 1


class Mount(NamedTuple):
    """A mount of one ``RUN``.

    :param type: ``bind``, ``cache``, ``tmpfs``, ``secret`` or ``ssh``.
    :param stage: the value of ``from``: a stage, a named context or an image; nothing for the build context.
    :param size: of a ``tmpfs``, bytes; 0 is no limit.
    :param id: of a cache, secret or agent.
    :param sharing: of a cache, ``shared``, ``private``, ``locked`` or nothing.
    :param env: the variable that a secret goes to; empty for the secret's own name, ``None`` for none.
    """

    type: str = "bind"
    stage: str = ""
    source: str = ""
    target: str = ""
    read_only: bool = True
    size: int = 0
    id: str = ""
    sharing: str = ""
    required: bool = False
    env: str | None = None
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None


def check_mount(text: str) -> None:
    """What can be said before variables are known: ``from`` takes none. Raises :class:`InvalidInstruction`."""
    for field in _fields(text):
        key, equals, value = field.partition("=")
        if key.lower() == "from" and equals and "$" in value[:-1]:
            raise InvalidInstruction(
                f"'{key.lower()}' doesn't support variable expansion, define alias stage instead", at=field
            )


def parse_mount(text: str, expand: Callable[[str], str]) -> Mount:
    """The mount that ``text`` describes; ``expand`` replaces variables in a value.

    Raises :class:`InvalidInstruction`.
    """
    settings = _Settings()
    for field in _fields(text):
        key, equals, value = field.partition("=")
        key = key.lower()
        if not equals:
            settings.word(_ALIASES.get(key, key), field)
        elif key in _KEYS:
            settings.set(_ALIASES.get(key, key), expand(value), key)
        else:
            raise InvalidInstruction(f"unexpected key '{key}' in '{field}'{did_you_mean(key, _KEYS)}", at=field)
    return settings.mount()


def _fields(text: str) -> list[str]:
    """The comma-separated fields of ``text``, quoted as in CSV."""
    if '"' not in text:
        return text.split(",")
    import csv

    try:
        rows = list(csv.reader([text], strict=True))
    except csv.Error as error:
        raise InvalidInstruction(f"failed to parse csv mounts: {error}", at=text) from None
    return rows[0] if rows else [""]


class _Settings:
    """The fields so far, in the order in which they are written: what a key means depends on the type before it."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}
        self._writable: bool | None = None

    def word(self, key: str, field: str) -> None:
        if key in ("readonly", "readwrite"):
            self._writable = key == "readwrite"
        elif key == "required":
            self._require(key, "secret", "ssh")
            self._values[key] = True
        else:
            raise InvalidInstruction(f"invalid field '{field}' must be a key=value pair", at=field)

    def set(self, key: str, value: str, written: str) -> None:
        if key in ("readonly", "readwrite"):
            self._writable = (key == "readwrite") == _boolean(written, value)
            return
        self._values[_MEMBERS.get(key, key)] = self._parsed(key, value, written)

    def _parsed(self, key: str, value: str, written: str) -> str | int | bool:
        if key == "type":
            return _choice("mount type", value, _TYPES)
        if key == "sharing":
            return _choice("sharing value", value, _SHARING)
        if key == "required":
            self._require(key, "secret", "ssh")
            return _boolean(written, value)
        if key == "size":
            self._require(key, "tmpfs")
            return _size(written, value)
        if key in ("mode", "uid", "gid"):
            return _number(key, value)
        return value

    def _require(self, key: str, *types: str) -> None:
        type = self._values.get("type", "bind")
        if type not in types:
            raise InvalidInstruction(f"unexpected key '{key}' for mount type '{type}'", at=key)

    def mount(self) -> Mount:
        mount = Mount(**self._values)
        if mount.type not in ("secret", "ssh", "cache"):
            for key in ("mode", "uid", "gid"):
                if getattr(mount, key) is not None:
                    raise InvalidInstruction(f"{key} not allowed for {quoted(mount.type)} type mounts", at=key)
        if mount.type == "secret":
            _check_secret(mount)
        if mount.sharing and mount.type != "cache":
            raise InvalidInstruction(f"invalid cache sharing set for {mount.type} mount", at="sharing")
        writable = mount.type in ("cache", "tmpfs") if self._writable is None else self._writable
        return mount._replace(read_only=not writable)


#: Members of :class:`Mount` that have another name than the key.
_MEMBERS = {"from": "stage"}


def _check_secret(mount: Mount) -> None:
    if mount.stage:
        raise InvalidInstruction("secret mount should not have a from", at="from")
    if mount.sharing:
        raise InvalidInstruction("secret mount should not define sharing", at="sharing")
    if not (mount.source or mount.target or mount.id):
        raise InvalidInstruction("invalid secret mount. one of source, target required")
    if mount.source and mount.id:
        raise InvalidInstruction("both source and id can't be set")


def _choice(what: str, value: str, choices: tuple[str, ...]) -> str:
    if value.lower() not in choices:
        raise InvalidInstruction(f"unsupported {what} {quoted(value)}{did_you_mean(value, choices)}", at=value)
    return value.lower()


def _boolean(key: str, value: str) -> bool:
    if value not in (*_TRUE, *_FALSE):
        raise InvalidInstruction(f"invalid value for {key}: {value}", at=value)
    return value in _TRUE


def _number(key: str, value: str) -> int:
    base = 8 if key == "mode" else 10
    digits = "01234567" if base == 8 else "0123456789"
    if value and len(value) <= 16 and not value.strip(digits) and int(value, base) <= _LARGEST_ID:
        return int(value, base)
    raise InvalidInstruction(f"invalid value {value} for {key}", at=value)


def _size(key: str, value: str) -> int:
    """``64m``, ``1.5 GiB``: binary units, as in Docker's ``go-units``."""
    match = _SIZE.match(value)
    if match is None or len(value) > 32:
        raise InvalidInstruction(f"invalid value for {key}: {value}", at=value)
    return int(float(match.group(1)) * 1024 ** _POWER[(match.group(2) or "").lower()])
