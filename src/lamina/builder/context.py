"""The build context and the Dockerfile, from wherever the user has them."""

from __future__ import annotations

import os

from lamina.builder.tree import Matcher
from lamina.dockerfile.ignore import PatternMatcher, read_ignore
from lamina.errors import InvalidArgument
from lamina.typing import IO, NamedTuple

DOCKERFILE = "Dockerfile"
IGNORE = ".dockerignore"
#: Bytes of a Dockerfile or an ignore file that are believed.
TEXT_LIMIT = 16 << 20


class BadContext(InvalidArgument):
    """The context can't be prepared; the message is docker's."""


class Context(NamedTuple):
    """What a build starts from.

    :ivar path: host directory; ``""`` when there is only a Dockerfile.
    :ivar dockerfile: its bytes.
    :ivar name: of the Dockerfile, for messages.
    :ivar remembered: whether the directory will be there for the next build.
    """

    path: str
    dockerfile: bytes
    name: str
    ignored: Matcher | None = None
    remembered: bool = True


def directory(path: str, dockerfile: str = "", text: bytes | None = None) -> Context:
    """A directory of the user's.

    :param dockerfile: path of the Dockerfile as the user gave it; ``""`` for the directory's own.
    :param text: the Dockerfile, when it comes from elsewhere.
    :raises BadContext: with docker's message.
    """
    if not os.path.isdir(path):
        reason = "path is not a directory" if os.path.exists(path) else f"path {path!r} not found".replace("'", '"')
        raise BadContext(f"unable to prepare context: {reason}")
    if text is not None:
        return Context(path, text, DOCKERFILE, _matcher(path, ""))
    name = dockerfile or os.path.join(path, DOCKERFILE)
    try:
        with open(name, "rb") as file:
            content = limited(file, name)
    except FileNotFoundError:
        shown = os.path.realpath(name)
        raise BadContext(
            f"unable to prepare context: unable to evaluate symlinks in Dockerfile path: lstat {shown}: "
            "no such file or directory"
        ) from None
    except IsADirectoryError:
        raise BadContext(f"unable to prepare context: the Dockerfile ({name}) is a directory") from None
    return Context(path, content, os.path.basename(name), _matcher(path, name))


def is_remote(text: str) -> bool:
    """Whether the argument of ``build`` names something elsewhere: a URL or a git repository."""
    if text.startswith(("http://", "https://", "github.com/")):
        return True
    if ":" not in text or os.path.exists(text):
        return False
    from lamina.builder import gitreference  # most builds have a directory

    return gitreference.parse(text, context=True) is not None


def _matcher(path: str, dockerfile: str) -> Matcher | None:
    """What the Dockerfile's own ignore file says, else the context's."""
    candidates = [f"{dockerfile}{IGNORE}"] if dockerfile else []
    for candidate in (*candidates, os.path.join(path, IGNORE)):
        try:
            with open(candidate, "rb") as file:
                return parsed_ignore(limited(file, candidate))
        except (FileNotFoundError, NotADirectoryError):
            continue
    return None


def parsed_ignore(text: bytes) -> Matcher | None:
    patterns = read_ignore(text)
    return PatternMatcher(patterns) if patterns else None


def limited(file: IO[bytes], name: str) -> bytes:
    """All of a text file. Raises :class:`BadContext` for one that is too large."""
    data = file.read(TEXT_LIMIT + 1)
    if len(data) > TEXT_LIMIT:
        raise BadContext(f"{name} is larger than {TEXT_LIMIT} bytes")
    return data
