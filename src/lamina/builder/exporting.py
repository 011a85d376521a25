"""``--output``: the result as files, as a tar, or as an archive of the image."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import IO, NamedTuple

from lamina.builder.copying import Copier, Manner
from lamina.builder.tree import Tree
from lamina.container.treetar import entries
from lamina.distribution.save import save
from lamina.distribution.stores import Stores
from lamina.errors import InvalidArgument
from lamina.image.contract import Image
from lamina.tarball import writer

KINDS = ("local", "tar", "oci", "docker")


class Output(NamedTuple):
    """Where a build's result goes.

    :ivar kind: ``local``: a directory gets the files; ``tar``: the files as a tar; ``oci`` and ``docker``: an archive
        of the image.
    :ivar destination: host path; ``-`` for standard output.
    """

    kind: str
    destination: str


def parse(text: str) -> Output:
    """``type=tar,dest=out.tar``; a path alone means ``type=local``, ``-`` a tar on standard output.

    :raises InvalidArgument: with what is wrong.
    """
    if "=" not in text:
        return Output("tar" if text == "-" else "local", text)
    fields = dict(field.partition("=")[::2] for field in text.split(","))
    kind = fields.get("type", "")
    if kind not in KINDS:
        raise InvalidArgument(f"output type {kind!r} is not supported: choose one of {', '.join(KINDS)}")
    unknown = sorted(set(fields) - {"type", "dest"})
    if unknown:
        raise InvalidArgument(f"output option {unknown[0]!r} is not supported")
    destination = fields.get("dest") or ("" if kind == "local" else "-")
    if not destination:
        raise InvalidArgument("dest is required for local output")
    return Output(kind, destination)


def export(output: Output, image: Image, names: list[str], stores: Stores, stdout: IO[bytes]) -> None:
    """Write an image's result. ``names`` are the names that an archive gives it, its ID when there are none."""
    if output.kind in ("oci", "docker"):
        sink = stdout if output.destination == "-" else output.destination
        save(names or [image.id], stores, sink, format=output.kind)
        return
    with stores.layers.mounted_image(image.config.chain_id) as path:
        if output.kind == "local":
            _copy(path, output.destination)
        elif output.destination == "-":
            _write(path, stdout)
        else:
            with open(output.destination, "wb") as file:
                _write(path, file)


def _copy(path: str, destination: str) -> None:
    os.makedirs(destination, exist_ok=True)
    tree = Tree(path, owned=True)
    root = os.open(destination, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    copier = Copier(root, Manner(owner=None))
    try:
        copier.copy_content(tree, root)
    finally:
        copier.close()
        os.close(root)
        tree.close()


def _write(path: str, file: IO[bytes]) -> None:
    root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for piece in _pieces(root):
            file.write(piece)
    finally:
        os.close(root)


def _pieces(root: int) -> Iterator[bytes]:
    return writer.archive(entries(root, b".", b""))
