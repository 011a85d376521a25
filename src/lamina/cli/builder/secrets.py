"""``lamina build --secret`` and ``--ssh``: what the user lends to the commands of a build."""

from __future__ import annotations

import os
import stat

from lamina.cli.command import CommandError, Context
from lamina.errors import InvalidArgument
from lamina.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamina.builder.keyfile import KeyFile

_SECRET_LIMIT = 500 << 10
_FIELDS = frozenset(("id", "src", "source", "env", "type"))
_DEFAULT = "default"
_SOCKET = "SSH_AUTH_SOCK"


def secret(word: str, context: Context) -> tuple[str, bytes]:
    """``id=NAME[,src=PATH][,env=NAME][,type=file|env]``: the name and the content.

    Without a source it is the variable of that name, or else the file.
    """
    from lamina.builder import settings

    try:
        fields = settings.parse(word)
    except InvalidArgument:
        fields = {}
    name, kind = fields.get("id", ""), fields.get("type", "")
    if not name or set(fields) - _FIELDS or kind not in ("", "file", "env"):
        raise CommandError(f"invalid secret: {word}")
    path = fields.get("src") or fields.get("source") or ""
    variable = fields.get("env") or (path if kind == "env" else "")
    if kind == "env" or (kind == "" and not path):
        found = context.environment.get(variable or name)
        if found is not None:
            return name, _checked(name, found.encode("utf-8", "surrogateescape"))
        if variable or kind == "env":
            return name, b""  # as BuildKit: a variable that is not there is empty
    try:
        with open(path or name, "rb") as file:
            return name, _checked(name, file.read(_SECRET_LIMIT + 1))
    except OSError as error:
        raise CommandError(f"failed to stat {path or name}: {os.strerror(error.errno or 0).lower()}") from None


def _checked(name: str, content: bytes) -> bytes:
    if len(content) > _SECRET_LIMIT:
        raise InvalidArgument(f"secret {name} too big: at most 500KB")
    return content


def agent(word: str, context: Context) -> tuple[str, str | tuple[KeyFile, ...]]:
    """``default``, ``NAME=SOCKET`` or ``NAME=KEY[,KEY]``: the name; the socket of an SSH agent, or keys for one."""
    name, _, value = word.partition("=")
    paths = (value or context.environment.get(_SOCKET, "")).split(",")
    if not all(paths):
        raise CommandError(f"invalid empty ssh agent socket: make sure {_SOCKET} is set")
    sockets = [path for path in paths if _is_socket(path)]
    if len(sockets) > 1:
        raise CommandError("only single socket allowed")
    if sockets and len(paths) > 1:
        raise CommandError("invalid combination of keys and sockets")
    return name or _DEFAULT, os.path.abspath(sockets[0]) if sockets else tuple(map(_key, paths))


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError as error:
        raise CommandError(f"failed to stat {path}: {os.strerror(error.errno or 0).lower()}") from None


def _key(path: str) -> KeyFile:
    from lamina.builder import keyfile

    try:
        with open(path, "rb") as file:
            return keyfile.parse(path, file.read(keyfile.LIMIT))
    except keyfile.BadKey as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        raise CommandError(f"failed to open {path}: {os.strerror(error.errno or 0).lower()}") from None
