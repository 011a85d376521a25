"""Manifests, and on request blobs, as they were pulled, so that a push can name the very same digests.

``lamina/manifests/<image id's hex>/<manifest's hex>`` holds the bytes of a manifest that the image was pulled by,
``lamina/blobs/<algorithm>/<hex>`` a compressed layer as it travelled (only with ``keep-blobs``). Both are caches of
what registries have: an image can be used and pushed without them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from lamina import atomicfile
from lamina.contextlib import contextmanager
from lamina.dataroot import DataRoot
from lamina.digest import Digest, ImageID, InvalidDigest, hasher
from lamina.distribution.stores import Stores
from lamina.errors import LaminaError
from lamina.functools import partial
from lamina.graphdriver.removal import remove_tree
from lamina.layer.finding import ORPHAN, Suspect
from lamina.layer.sizes import size_of
from lamina.oci import manifest as manifests
from lamina.oci.document import MANIFEST_LIMIT
from lamina.oci.manifest import Manifest
from lamina.typing import IO

_MANIFESTS = "lamina/manifests"
_BLOBS = "lamina/blobs"
_DIRECTORIES = (_MANIFESTS, _BLOBS)
_CHUNK = 1 << 20


def keep_manifest(root: DataRoot, image_id: ImageID, manifest: Manifest) -> None:
    """Remember that ``image_id`` came by ``manifest``. Idempotent."""
    directory = root.sub(_MANIFESTS, image_id.hex)
    path = f"{directory}/{manifest.digest.hex}"
    if not os.path.exists(path):
        os.makedirs(directory, mode=0o700, exist_ok=True)
        atomicfile.write(path, manifest.raw, mode=0o600, sync=False)


def manifests_of(root: DataRoot, image_id: ImageID) -> list[Manifest]:
    """The manifests that an image is known to have come by; damaged ones are left out."""
    directory = root.sub(_MANIFESTS, image_id.hex)
    return [found for name in _names(directory) if (found := _read_manifest(f"{directory}/{name}", name)) is not None]


def _read_manifest(path: str, name: str) -> Manifest | None:
    try:
        with open(path, "rb") as file:
            raw = file.read(MANIFEST_LIMIT + 1)
        parsed = manifests.parse(raw, "", path)
    except (OSError, LaminaError):
        return None
    return parsed if isinstance(parsed, Manifest) and parsed.digest.hex == name else None


@contextmanager
def keeping_blob(root: DataRoot, digest: Digest) -> Iterator[IO[bytes]]:
    """A file to write a blob to while it passes; it is kept only when the context ends without an error."""
    path = _blob_path(root, digest)
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    with atomicfile.replacing(path) as file:
        yield file


def kept_blob(root: DataRoot, digest: Digest, size: int) -> str:
    """The path of a kept blob that is whole and has not changed, ``""`` when there is none."""
    path = _blob_path(root, digest)
    seen = hasher(digest.algorithm)
    try:
        if os.path.getsize(path) != size:
            return ""
        for chunk in read_chunks(path):
            seen.update(chunk)
    except OSError:
        return ""
    return path if seen.hexdigest() == digest.hex else ""


def read_chunks(path: str) -> Iterator[bytes]:
    """The content of a file, in pieces."""
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def unneeded(stores: Stores) -> Iterator[str]:
    """What belongs to images that are gone, or was left by a pull that was killed: absolute paths."""
    root = stores.root
    kept = _names(root.sub(_MANIFESTS))  # listed first: an image is there before its manifest is
    present = {image_id.hex for image_id in stores.images.ids()}
    needed: set[str] = set()
    for name in kept:
        if name not in present:
            yield root.sub(_MANIFESTS, name)
        elif os.path.isdir(root.sub(_BLOBS)):
            for manifest in manifests_of(root, ImageID(f"sha256:{name}")):
                needed.update(layer.digest for layer in manifest.layers)
    for algorithm in _names(root.sub(_BLOBS)):
        for name in os.listdir(root.sub(_BLOBS, algorithm)):
            path = root.sub(_BLOBS, algorithm, name)
            if f"{algorithm}:{name}" not in needed if _is_blob(algorithm, name) else atomicfile.is_leftover(path):
                yield path


def suspects(stores: Stores) -> Iterator[Suspect]:
    """What :func:`unneeded` names, for the check of a root."""
    for path in unneeded(stores):
        if os.path.basename(path).startswith(atomicfile.TEMPORARY_PREFIX):
            continue  # found with all others that were being written
        what = "kept for an image that does not exist"
        yield Suspect(ORPHAN, path, what, partial(_remove_unneeded, stores, path), size_of(path))


def _remove_unneeded(stores: Stores, path: str) -> None:
    with stores.root.lock("distribution"):
        if path in unneeded(stores):
            remove_tree(path)


def prune(stores: Stores) -> None:
    """Delete what :func:`unneeded` names. Call it after images were removed."""
    root = stores.root
    if not os.path.isdir(root.sub(_MANIFESTS)):
        return
    with root.lock("distribution"):
        for path in list(unneeded(stores)):
            remove_tree(path)
        for directory in (*(root.sub(_BLOBS, name) for name in _names(root.sub(_BLOBS))), *map(root.sub, _DIRECTORIES)):
            if os.path.isdir(directory) and not os.listdir(directory):
                os.rmdir(directory)


def _is_blob(algorithm: str, name: str) -> bool:
    """Whether this is the name of a finished blob."""
    try:
        Digest(f"{algorithm}:{name}")
    except InvalidDigest:
        return False
    return True


def _blob_path(root: DataRoot, digest: Digest) -> str:
    return root.sub(_BLOBS, digest.algorithm, digest.hex)


def _names(directory: str) -> list[str]:
    try:
        return sorted(name for name in os.listdir(directory) if not name.startswith("."))
    except FileNotFoundError:
        return []
