"""What goes into an archive that ``save`` writes: entries by name, for Docker's format and for OCI's.

Docker's is what Docker Engine 20.10 writes: a directory for each layer with ``VERSION``, ``json`` and ``layer.tar``, a
configuration for each image, ``manifest.json``, ``repositories``; a layer that another directory has already is a
symbolic link to it. OCI's is an image layout (image-spec, ``image-layout.md``) with ``manifest.json`` and
``repositories`` beside it, as Docker Engine 25 and later write it, so that older readers understand it too. Layers are
plain tars in both: their digest is their DiffID.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from lamina.digest import DiffID, Digest
from lamina.distribution import legacy
from lamina.distribution.selection import Selected
from lamina.layer.contract import Layer
from lamina.oci import gojson, mediatype, timestamp
from lamina.oci import manifest as manifests
from lamina.oci.descriptor import Descriptor
from lamina.reference import Reference
from lamina.typing import Any, NamedTuple

_VERSION = b"1.0"


class Directory(NamedTuple):
    """``name`` without the slash at its end; ``mtime`` in seconds since the epoch."""

    name: str
    mtime: int


class Document(NamedTuple):
    """A small file."""

    name: str
    mtime: int
    data: bytes


class LayerFile(NamedTuple):
    """A layer's tar."""

    name: str
    mtime: int
    layer: Layer


class Link(NamedTuple):
    """A symbolic link to ``target``, relative to the link's directory."""

    name: str
    mtime: int
    target: str


Entry = Directory | Document | LayerFile | Link


class Packed(NamedTuple):
    """One selected image with its layers, bottom first."""

    selected: Selected
    layers: list[Layer]

    @property
    def mtime(self) -> int:
        """Whole seconds since 1970; 0 for a configuration that has no time, or an earlier one."""
        return max(0, timestamp.seconds(self.selected.image.config.created))


def in_walking_order(entries: Iterable[Entry]) -> list[Entry]:
    """Sorted as a walk through a file system meets them: a directory before what is in it, then its next sibling."""
    return sorted(entries, key=lambda entry: entry.name.split("/"))


def docker(images: Sequence[Packed]) -> list[Entry]:
    """Entries of a Docker archive."""
    entries: dict[str, Entry] = {}
    manifest: list[dict[str, Any]] = []
    repositories: dict[str, dict[str, str]] = {}
    places: dict[DiffID, str] = {}
    for image in images:
        config = image.selected.image.config
        directories = legacy.layers(config)
        paths = []
        for directory, layer in zip(directories, image.layers, strict=True):
            path = f"{directory.id}/layer.tar"
            paths.append(path)
            if path in entries:
                continue
            entries[directory.id] = Directory(directory.id, image.mtime)
            entries[f"{directory.id}/VERSION"] = Document(f"{directory.id}/VERSION", image.mtime, _VERSION)
            entries[f"{directory.id}/json"] = Document(f"{directory.id}/json", image.mtime, directory.json)
            if (place := places.setdefault(layer.diff_id, path)) != path:
                entries[path] = Link(path, image.mtime, f"../{place}")
            else:
                entries[path] = LayerFile(path, image.mtime, layer)
        config_name = f"{config.id.hex}.json"
        entries[config_name] = Document(config_name, image.mtime, config.raw)
        manifest.append({"Config": config_name, "RepoTags": _tags(image), "Layers": paths, **_parent(image, images)})
        _add_repositories(repositories, image, directories[-1].id if directories else "")
    entries.update(_docker_documents(manifest, repositories))
    return in_walking_order(entries.values())


def oci(images: Sequence[Packed], tar_size: Callable[[Layer], int]) -> list[Entry]:
    """Entries of an OCI image layout. ``tar_size``: bytes of a layer's tar."""
    entries: dict[str, Entry] = {name: Directory(name, 0) for name in ("blobs", "blobs/sha256")}
    index: list[dict[str, Any]] = []
    manifest: list[dict[str, Any]] = []
    repositories: dict[str, dict[str, str]] = {}

    def add(data: bytes, mtime: int) -> Digest:
        digest = Digest.of(data)
        entries.setdefault(_blob(digest), Document(_blob(digest), mtime, data))
        return digest

    for image in images:
        config = image.selected.image.config
        layers = [Descriptor(mediatype.OCI_LAYER, layer.diff_id, tar_size(layer)) for layer in image.layers]
        for layer in image.layers:
            entries.setdefault(_blob(layer.diff_id), LayerFile(_blob(layer.diff_id), image.mtime, layer))
        head = Descriptor(mediatype.OCI_CONFIG, add(config.raw, image.mtime), len(config.raw))
        document = manifests.build(head, layers, media_type=mediatype.OCI_MANIFEST)
        place = Descriptor(
            document.media_type, add(document.raw, image.mtime), len(document.raw), platform=config.platform
        )
        index += [place._replace(annotations=names).to_json() for names in _annotations(image.selected.references)]
        paths = [_blob(layer.digest) for layer in layers]
        sources = {str(layer.digest): layer.to_json() for layer in layers}
        manifest.append(
            {
                "Config": _blob(config.id),
                "RepoTags": _tags(image),
                "Layers": paths,
                **_parent(image, images),
                "LayerSources": sources,
            }
        )
        _add_repositories(repositories, image, layers[-1].digest.hex if layers else "")
    entries.update(_docker_documents(manifest, repositories))
    head_of_index = {"schemaVersion": 2, "mediaType": mediatype.OCI_INDEX, "manifests": index}
    entries["index.json"] = Document("index.json", 0, gojson.encode(head_of_index))
    entries["oci-layout"] = Document("oci-layout", 0, b'{"imageLayoutVersion":"1.0.0"}')
    return in_walking_order(entries.values())


def _blob(digest: Digest) -> str:
    return f"blobs/{digest.algorithm}/{digest.hex}"


def _annotations(references: list[Reference]) -> list[tuple[tuple[str, str], ...]]:
    """One set for each tag, the names that containerd and Docker look for; an untagged image has one empty set."""
    return [
        (("io.containerd.image.name", str(reference)), ("org.opencontainers.image.ref.name", reference.tag or ""))
        for reference in references
    ] or [()]


def _tags(image: Packed) -> list[str] | None:
    return [reference.familiar for reference in image.selected.references] or None


def _parent(image: Packed, images: Sequence[Packed]) -> dict[str, str]:
    """The image it was built from, when that is in the archive too."""
    parent = image.selected.image.parent
    if parent is None or all(other.selected.image.id != parent for other in images):
        return {}
    return {"Parent": str(parent)}


def _add_repositories(repositories: dict[str, dict[str, str]], image: Packed, top: str) -> None:
    for reference in image.selected.references:
        if top and reference.tag:
            repositories.setdefault(reference.familiar_name, {})[reference.tag] = top


def _docker_documents(manifest: list[dict[str, Any]], repositories: dict[str, dict[str, str]]) -> dict[str, Document]:
    documents = {"manifest.json": gojson.encode(manifest) + b"\n"}
    if repositories:
        ordered = {name: dict(sorted(tags.items())) for name, tags in sorted(repositories.items())}
        documents["repositories"] = gojson.encode(ordered) + b"\n"
    return {name: Document(name, 0, data) for name, data in documents.items()}
