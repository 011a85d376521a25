"""Docker archives: ``manifest.json`` lists images as ``{"Config", "RepoTags", "Layers", "Parent"}``.

Written by ``docker save`` (1.10 and later), podman, skopeo, containerd, kaniko, bazel. Files are named by convention
only: ``<id>.json`` and ``<id>/layer.tar``, or ``blobs/sha256/<digest>``; what a name states by its form is checked.
"""

from __future__ import annotations

import re

from lamina.digest import Digest, DigestMismatch, ImageID, InvalidDigest
from lamina.distribution.archived import ArchivedImage, LayerContent
from lamina.distribution.content import Archive, InvalidArchive, normal_name, read_small
from lamina.oci import image
from lamina.oci.document import CONFIG_LIMIT, MANIFEST_LIMIT, InvalidDocument, load_list, member
from lamina.oci.image import ImageConfig
from lamina.reference import InvalidReference, Reference, parse
from lamina.typing import Any

MANIFEST = "manifest.json"

_CONFIG_NAME = re.compile(r"(?:.*/)?([0-9a-f]{64})(?:\.json)?\Z")
_BLOB_NAME = re.compile(r"(?:.*/)?blobs/([a-z0-9]+)/([0-9a-f]+)\Z")


def read(archive: Archive) -> list[ArchivedImage]:
    """The images of a Docker archive, a parent before what was built from it.

    Raises ``Corrupt`` (:class:`InvalidArchive`, ``InvalidDocument``, ``DigestMismatch``).
    """
    items = load_list(read_small(archive, MANIFEST, MANIFEST_LIMIT), MANIFEST, MANIFEST_LIMIT)
    return _parents_first([_image(archive, item) for item in items])


def _image(archive: Archive, item: dict[str, Any]) -> ArchivedImage:
    config = _config(archive, member(item, "Config", str, MANIFEST, ""))
    paths = member(item, "Layers", list, MANIFEST, [])
    if len(paths) != len(config.diff_ids):
        raise InvalidArchive(
            f"invalid manifest, layers length mismatch: expected {len(config.diff_ids)}, got {len(paths)}"
        )
    layers = [_layer(archive, path) for path in paths]
    references = [_tag(text) for text in member(item, "RepoTags", list, MANIFEST, [])]
    return ArchivedImage(config, layers, list(dict.fromkeys(references)), _parent(item))


def _config(archive: Archive, name: str) -> ImageConfig:
    config = image.parse(read_small(archive, name, CONFIG_LIMIT), name)
    stated = _CONFIG_NAME.match(normal_name(name))
    if stated is not None and stated[1] != config.id.hex:
        raise DigestMismatch(name, f"sha256:{stated[1]}", str(config.id))
    return config


def _layer(archive: Archive, path: object) -> LayerContent:
    if not isinstance(path, str):
        raise InvalidDocument(f"{MANIFEST}: 'Layers' holds something that is not a string")
    stated = _BLOB_NAME.match(normal_name(path))
    if stated is None:
        return LayerContent(path)
    try:
        return LayerContent(path, Digest(f"{stated[1]}:{stated[2]}"))
    except InvalidDigest as error:
        raise InvalidArchive(f"{MANIFEST}: {path!r}: {error}") from error


def _tag(text: object) -> Reference:
    try:
        reference = parse(text if isinstance(text, str) else "")
    except InvalidReference:
        reference = None
    if reference is None or reference.tag is None or reference.digest is not None:
        raise InvalidArchive(f'invalid tag "{text}"')
    return reference


def _parent(item: dict[str, Any]) -> ImageID | None:
    text = member(item, "Parent", str, MANIFEST, "")
    try:
        return ImageID(text) if text else None
    except InvalidDigest as error:
        raise InvalidArchive(f"{MANIFEST}: 'Parent' {text!r}: {error}") from error


def _parents_first(images: list[ArchivedImage]) -> list[ArchivedImage]:
    """The same images with every parent before its children. Parents that are not in the archive are forgotten.

    A parent is one only when its layers are the lowest of its child's: history follows this link.
    """
    by_id = {one.config.id: one for one in images}
    for one in images:
        parent = by_id.get(one.parent) if one.parent is not None else None
        if parent is not None and one.config.diff_ids[: len(parent.config.diff_ids)] != parent.config.diff_ids:
            raise InvalidArchive(f"image {parent.config.id} is not a valid parent for {one.config.id}")
    ordered: list[ArchivedImage] = []
    placed: set[ImageID] = set()
    waiting = images
    while waiting:
        ready = [one for one in waiting if one.parent is None or one.parent in placed or one.parent not in by_id]
        if not ready:
            raise InvalidArchive(f"{MANIFEST}: images are parents of one another in a circle")
        for one in ready:
            known = one.parent if one.parent in by_id else None
            ordered.append(one._replace(parent=known))
            placed.add(one.config.id)
        waiting = [one for one in waiting if one not in ready]
    return ordered
