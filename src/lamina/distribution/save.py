"""``docker save``: images as one stream or one directory. Layers go from the graph driver straight to the sink."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from lamina import atomicfile
from lamina.distribution import packing, tarheader
from lamina.distribution.packing import Directory, Document, Entry, LayerFile, Link, Packed
from lamina.distribution.pipeline import WriteBehind
from lamina.distribution.selection import Selected, select
from lamina.distribution.stores import Stores
from lamina.errors import Corrupt, InvalidArgument, NoSpace
from lamina.image import telling
from lamina.layer.contract import Layer
from lamina.progress import Event, Report, ignore
from lamina.tarball import tarsplit
from lamina.typing import IO, NamedTuple

FORMATS = ("docker", "oci")


def save(
    texts: Sequence[str],
    stores: Stores,
    sink: IO[bytes] | str,
    *,
    format: str = "docker",
    report: Report = ignore,
) -> None:
    """Write the images that ``texts`` name.

    :param sink: a binary stream; or a path: of a file, which is replaced whole; or, for the format ``oci``, of a
        directory that exists or ends with a slash, which gets an OCI layout.
    :param format: ``docker``: what ``docker save`` of Engine 20.10 writes; ``oci``: an OCI layout that Docker 25 and
        later read and write too.
    :raises NotFound: an image does not exist; nothing has been written then.
    :raises Corrupt: a layer's files are not what they were when it came.
    """
    if format not in FORMATS:
        raise InvalidArgument(f"invalid archive format {format!r}: choose one of {', '.join(FORMATS)}")
    sizes = _TarSizes(stores)
    images = [_packed(selected, stores) for selected in select(texts, stores.images)]
    entries = packing.oci(images, sizes) if format == "oci" else packing.docker(images)
    source = _LayerTars(stores, sizes, report)
    try:
        if not isinstance(sink, str):
            _write_tar(entries, sink, source)
        elif format == "oci" and (sink.endswith("/") or os.path.isdir(sink)):
            _write_directory(entries, sink, source)
        else:
            _write_file(entries, sink, source)
    except OSError as error:
        raise _space(error) or error from error
    for one in images:
        telling.by_id(stores.root, one.selected.image, "save")


def _write_file(entries: Sequence[Entry], path: str, source: _LayerTars) -> None:
    with atomicfile.replacing(path) as file:
        _write_tar(entries, file, source)


def _write_tar(entries: Sequence[Entry], sink: IO[bytes], source: _LayerTars) -> None:
    with WriteBehind(sink) as out:
        for entry in entries:
            if isinstance(entry, Directory):
                out.write(tarheader.directory(entry.name, entry.mtime))
            elif isinstance(entry, Link):
                out.write(tarheader.symlink(entry.name, entry.mtime, entry.target))
            elif isinstance(entry, Document):
                size = len(entry.data)
                out.write(tarheader.file(entry.name, entry.mtime, size) + entry.data + tarheader.padding(size))
            else:
                size = source.size(entry.layer)
                out.write(tarheader.file(entry.name, entry.mtime, size))
                for piece in source.pieces(entry.layer):
                    out.write(piece)
                out.write(tarheader.padding(size))
        out.write(tarheader.END)


def _packed(selected: Selected, stores: Stores) -> Packed:
    return Packed(selected, stores.layers.stack(selected.image.config.chain_id))


def _space(error: OSError) -> NoSpace | None:
    import errno

    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpace(f"the archive does not fit: {error.strerror}")
    return None


class _TarSizes:
    """Bytes of a layer's tar, counted once for each layer."""

    def __init__(self, stores: Stores) -> None:
        self._root = stores.root
        self._known: dict[str, int] = {}

    def __call__(self, layer: Layer) -> int:
        size = self._known.get(layer.chain_id)
        if size is None:
            path = self._root.store("layerdb", "sha256", layer.chain_id.hex, "tar-split.json.gz")
            size = self._known[layer.chain_id] = tarsplit.tar_size(path)
        return size


class _LayerTars(NamedTuple):
    """Opens layers' tars: their bytes are counted on the way out and reported."""

    stores: Stores
    size: _TarSizes
    report: Report

    def pieces(self, layer: Layer) -> Iterator[bytes]:
        total, done = self.size(layer), 0
        for piece in self.stores.layers.tar(layer):
            done += len(piece)
            if done > total:
                break
            yield piece
            self.report(Event("Saving layer", layer.diff_id.hex[:12], done, total))
        if done != total:
            raise Corrupt(f"layer {layer.chain_id}: its tar has {done} bytes, its description says {total}")


# A directory


def _write_directory(entries: Sequence[Entry], path: str, source: _LayerTars) -> None:
    """Write an OCI layout; ``index.json`` comes last, so that a layout that was cut short is not one."""
    os.makedirs(path, exist_ok=True)
    for entry in sorted(entries, key=lambda entry: entry.name == "index.json"):
        target = os.path.join(path, entry.name)
        if isinstance(entry, Directory):
            os.makedirs(target, exist_ok=True)
        elif isinstance(entry, Document):
            atomicfile.write(target, entry.data, mode=0o644, sync=False)
        elif isinstance(entry, LayerFile):
            with atomicfile.replacing(target, mode=0o644) as file, WriteBehind(file) as out:
                for piece in source.pieces(entry.layer):
                    out.write(piece)
