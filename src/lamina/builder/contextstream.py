"""A build context that comes as a stream."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import chain

from lamina.builder.context import DOCKERFILE, IGNORE, TEXT_LIMIT, BadContext, Context, limited, parsed_ignore
from lamina.container.copying import entries_of
from lamina.container.treeextract import Extraction
from lamina.contextlib import contextmanager
from lamina.errors import Corrupt
from lamina.graphdriver.removal import remove_tree
from lamina.layer.store import FileLayerStore
from lamina.linux import openat2
from lamina.tarball import compression
from lamina.tarball.reader import TarReader
from lamina.typing import IO

_PIECE = 1 << 20
#: Bytes that tell a tar from a Dockerfile.
_PEEK = 1 << 16


@contextmanager
def stream(layers: FileLayerStore, file: IO[bytes], dockerfile: str = "") -> Iterator[Context]:
    """Standard input: a tar in any compression, or a Dockerfile without context.

    :param dockerfile: path of the Dockerfile in the tar.
    """
    with from_pieces(layers, iter(lambda: file.read(_PIECE), b""), dockerfile) as context:
        yield context


@contextmanager
def from_pieces(layers: FileLayerStore, pieces: Iterator[bytes], dockerfile: str | None = "") -> Iterator[Context]:
    """As :func:`stream`, for bytes that come in pieces."""
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
            yield extracted(path, dockerfile)
        finally:
            remove_tree(path)


def _bounded(pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
    for piece in pieces:
        size += len(piece)
        if size > TEXT_LIMIT:
            raise BadContext(f"the Dockerfile is larger than {TEXT_LIMIT} bytes")
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


def extracted(path: str, dockerfile: str | None) -> Context:
    """A directory whose files somebody else chose; no link leads out of it.

    :param dockerfile: its path inside; ``""`` for docker's default, ``None`` when none is needed.
    """
    if dockerfile is None:
        return Context(path, b"", "", remembered=False)
    dockerfile = dockerfile or DOCKERFILE
    root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        text = _read(root, dockerfile)
        if text is None:
            raise BadContext(f"Cannot locate specified Dockerfile: {dockerfile}")
        ignore = _read(root, f"{dockerfile}{IGNORE}")
        if ignore is None:
            ignore = _read(root, IGNORE)
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
            return limited(file, name)
        except IsADirectoryError:
            return None
