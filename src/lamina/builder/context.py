"""The build context and the Dockerfile, from wherever the user has them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import IO, NamedTuple

from lamina.builder.tree import Matcher
from lamina.container.copying import entries_of
from lamina.container.treeextract import Extraction
from lamina.dockerfile.ignore import PatternMatcher, read_ignore
from lamina.errors import Corrupt, InvalidArgument
from lamina.graphdriver.removal import remove_tree
from lamina.layer.store import FileLayerStore
from lamina.linux import openat2
from lamina.tarball import compression
from lamina.tarball.reader import TarReader

DOCKERFILE = "Dockerfile"
_IGNORE = ".dockerignore"
_PIECE = 1 << 20
#: Bytes of a Dockerfile or an ignore file that are believed.
_TEXT_LIMIT = 16 << 20
#: Bytes that tell a tar from a Dockerfile.
_PEEK = 1 << 16


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
            content = _limited(file, name)
    except FileNotFoundError:
        shown = os.path.realpath(name)
        raise BadContext(
            f"unable to prepare context: unable to evaluate symlinks in Dockerfile path: lstat {shown}: "
            "no such file or directory"
        ) from None
    except IsADirectoryError:
        raise BadContext(f"unable to prepare context: the Dockerfile ({name}) is a directory") from None
    return Context(path, content, os.path.basename(name), _matcher(path, name))


def _matcher(path: str, dockerfile: str) -> Matcher | None:
    """What the Dockerfile's own ignore file says, else the context's."""
    candidates = [f"{dockerfile}{_IGNORE}"] if dockerfile else []
    for candidate in (*candidates, os.path.join(path, _IGNORE)):
        try:
            with open(candidate, "rb") as file:
                return parsed_ignore(_limited(file, candidate))
        except (FileNotFoundError, NotADirectoryError):
            continue
    return None


def parsed_ignore(text: bytes) -> Matcher | None:
    patterns = read_ignore(text)
    return PatternMatcher(patterns) if patterns else None


def _limited(file: IO[bytes], name: str) -> bytes:
    data = file.read(_TEXT_LIMIT + 1)
    if len(data) > _TEXT_LIMIT:
        raise BadContext(f"{name} is larger than {_TEXT_LIMIT} bytes")
    return data


@contextmanager
def stream(layers: FileLayerStore, file: IO[bytes], dockerfile: str = "") -> Iterator[Context]:
    """Standard input: a tar in any compression, or a Dockerfile without context.

    :param dockerfile: path of the Dockerfile in the tar.
    """
    pieces = iter(lambda: file.read(_PIECE), b"")
    head = b""
    while len(head) < _PEEK and (piece := next(pieces, b"")):
        head += piece
    if not _is_tar(head):
        rest = b"".join(chain((head,), _bounded(pieces, len(head))))
        yield Context("", rest, DOCKERFILE)
        return
    with layers.operation() as entry:
        path = layers.root.sub("lamina", "run", entry.new_id())
        os.makedirs(path, 0o700)
        try:
            _extract(path, chain((head,), pieces))
            yield _extracted(path, dockerfile or DOCKERFILE)
        finally:
            remove_tree(path)


def _bounded(pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
    for piece in pieces:
        size += len(piece)
        if size > _TEXT_LIMIT:
            raise BadContext(f"the Dockerfile is larger than {_TEXT_LIMIT} bytes")
        yield piece


def _is_tar(head: bytes) -> bool:
    if compression.detect(head[: compression.MAGIC_LENGTH]) is not compression.Compression.NONE:
        return True
    try:
        return TarReader(iter((head,))).next() is not None
    except (Corrupt, EOFError, ValueError):
        return False


def _extract(path: str, pieces: Iterator[bytes]) -> None:
    root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        Extraction(root, owners=False, overwrite=True).run(entries_of(pieces))
    finally:
        os.close(root)


def _extracted(path: str, dockerfile: str) -> Context:
    root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        text = _read(root, dockerfile)
        if text is None:
            raise BadContext(f"Cannot locate specified Dockerfile: {dockerfile}")
        ignore = _read(root, f"{dockerfile}{_IGNORE}")
        if ignore is None:
            ignore = _read(root, _IGNORE)
    finally:
        os.close(root)
    return Context(
        path,
        text,
        os.path.basename(dockerfile),
        parsed_ignore(ignore) if ignore is not None else None,
        remembered=False,
    )


def _read(root: int, name: str) -> bytes | None:
    """A file of an extracted context, links inside it followed."""
    try:
        descriptor = openat2.open_in_root(root, name, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return None
    with open(descriptor, "rb") as file:
        try:
            return _limited(file, name)
        except IsADirectoryError:
            return None
