"""``--output``: the result as files, as a tar, or as an archive of the image."""

from __future__ import annotations

import os
from collections.abc import Iterator

from lamina.builder import settings
from lamina.builder.copying import Copier, Manner
from lamina.builder.tree import Tree
from lamina.container.treetar import entries
from lamina.distribution.save import save
from lamina.distribution.stores import Stores
from lamina.errors import InvalidArgument
from lamina.image.contract import Image
from lamina.owners import Owners
from lamina.reference import Reference, parse_tagged
from lamina.tarball import writer
from lamina.typing import IO, NamedTuple

KINDS = ("local", "tar", "oci", "docker", "image", "registry")
_OPTIONS = {
    "local": ("dest",),
    "tar": ("dest",),
    "oci": ("dest", "name"),
    "docker": ("dest", "name"),
    "image": ("name", "push"),
    "registry": ("name", "push"),
}


class Output(NamedTuple):
    """Where a build's result goes.

    :ivar kind: ``local``: a directory gets the files; ``tar``: the files as a tar; ``oci`` and ``docker``: an archive
        of the image; ``image``: this root has it.
    :ivar destination: host path; ``-`` for standard output, ``""`` for none.
    :ivar names: of the image, beside those that the build gives it.
    :ivar push: send the image to the registries of its names.
    """

    kind: str
    destination: str = ""
    names: tuple[Reference, ...] = ()
    push: bool = False


def parse(text: str) -> Output:
    """``type=tar,dest=out.tar``; a path alone means ``type=local``, ``-`` a tar on standard output.

    :raises InvalidArgument: with what is wrong.
    """
    if "=" not in text:
        return Output("tar" if text == "-" else "local", text)
    fields = settings.parse(text)
    kind = fields.get("type", "")
    if kind not in KINDS:
        raise InvalidArgument(f"output type {kind!r} is not supported: choose one of {', '.join(KINDS)}")
    unknown = sorted(set(fields) - {"type", *_OPTIONS[kind]})
    if unknown:
        raise InvalidArgument(f"output option {unknown[0]!r} is not supported")
    names = tuple(parse_tagged(name) for name in fields.get("name", "").split(",") if name)
    if kind in ("image", "registry"):
        return Output("image", "", names, settings.boolean(fields, "push", default=kind == "registry"))
    destination = fields.get("dest", "")
    if kind == "docker" and not destination:
        return Output("image", "", names)
    if kind == "local" and not destination:
        raise InvalidArgument("dest is required for local output")
    return Output(kind, destination or "-", names)


def export(output: Output, image: Image, names: list[str], stores: Stores, stdout: IO[bytes]) -> None:
    """Write an image's result. ``names`` are the names that an archive gives it, its ID when there are none."""
    if output.kind == "image":
        return
    if output.kind in ("oci", "docker"):
        names = names + [name.familiar for name in output.names if name.familiar not in names]
        sink = stdout if output.destination == "-" else output.destination
        save(names or [image.id], stores, sink, format=output.kind)
        return
    with stores.layers.mounted_image(image.config.chain_id) as path:
        if output.kind == "local":
            _copy(path, output.destination, stores.root.owners)
        elif output.destination == "-":
            _write(path, stdout, stores.root.owners)
        else:
            with open(output.destination, "wb") as file:
                _write(path, file, stores.root.owners)


def _copy(path: str, destination: str, owners: Owners) -> None:
    os.makedirs(destination, exist_ok=True)
    tree = Tree(path, owned=True, owners=owners)
    root = os.open(destination, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    copier = Copier(root, Manner(owner=None))
    try:
        copier.copy_content(tree, root)
    finally:
        copier.close()
        os.close(root)
        tree.close()


def _write(path: str, file: IO[bytes], owners: Owners) -> None:
    root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for piece in _pieces(root, owners):
            file.write(piece)
    finally:
        os.close(root)


def _pieces(root: int, owners: Owners) -> Iterator[bytes]:
    return writer.archive(entries(root, b".", b"", owners))
