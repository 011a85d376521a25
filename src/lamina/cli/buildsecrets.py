"""``lamina build --secret`` and ``--ssh``: what the user lends to the commands of a build."""

from __future__ import annotations

import os
import stat

from lamina.cli.command import CommandError, Context
from lamina.errors import InvalidArgument

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


def agent(word: str, context: Context) -> tuple[str, str]:
    """``default`` or ``NAME=SOCKET``: the name, and the socket of an SSH agent."""
    name, _, path = word.partition("=")
    path = path or context.environment.get(_SOCKET, "")
    if not path:
        raise CommandError(f"invalid empty ssh agent socket: make sure {_SOCKET} is set")
    try:
        is_socket = stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError as error:
        raise CommandError(f"failed to stat {path}: {os.strerror(error.errno or 0).lower()}") from None
    if not is_socket:
        raise CommandError(f"{path} is not the socket of an SSH agent: add the key to an agent, and name its socket")
    return name or _DEFAULT, os.path.abspath(path)
