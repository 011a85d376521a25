"""OCI image layouts (image-spec, ``image-layout.md``): ``index.json`` and ``blobs/<algorithm>/<digest>``.

Names come from the index's annotations: containerd's ``io.containerd.image.name`` is a whole reference;
``org.opencontainers.image.ref.name`` is whatever its writer chose, often only a tag, which names no image.
"""

from __future__ import annotations

from lamina.digest import Digest, DigestMismatch, hasher
from lamina.distribution.archived import ArchivedImage, LayerContent
from lamina.distribution.content import Archive, InvalidArchive, read_small
from lamina.errors import NotFound, Unsupported
from lamina.oci import image, manifest, mediatype
from lamina.oci.descriptor import Descriptor
from lamina.oci.document import CONFIG_LIMIT, MANIFEST_LIMIT, load, member
from lamina.oci.manifest import Index, Manifest
from lamina.oci.platform import Platform, matches
from lamina.reference import InvalidReference, Reference, parse

INDEX = "index.json"

_LAYOUT = "oci-layout"
_CONTAINERD_NAME = "io.containerd.image.name"
_REF_NAME = "org.opencontainers.image.ref.name"
#: An index in an index in an index: nobody needs more, and a loop must end.
_NESTING_LIMIT = 4


class NoMatchingPlatform(NotFound):
    """None of an index's images runs on the platform that is wanted."""

    def __init__(self, what: str, wanted: Platform) -> None:
        super().__init__(f"no matching manifest for {wanted} in the manifest list entries of {what}")


def read(archive: Archive, wanted: Platform, *, strict: bool) -> list[ArchivedImage]:
    """The images of an OCI layout that serve ``wanted``, each once with all its names.

    :param strict: the user asked for this platform. Otherwise an image that is offered for one platform only is taken
        whatever that is.
    Raises ``Corrupt``, ``Unsupported``, :class:`NoMatchingPlatform`.
    """
    _check_layout(archive)
    index = manifest.parse(read_small(archive, INDEX, MANIFEST_LIMIT), mediatype.OCI_INDEX, INDEX)
    if not isinstance(index, Index):
        raise InvalidArchive(f"{INDEX} is not an index")
    found: dict[Digest, ArchivedImage] = {}
    for name, entries in _by_name(index).items():
        for entry in _choose(entries, name or INDEX, wanted, strict=strict):
            one = _image(archive, entry, wanted, strict=strict)
            references = [name] if isinstance(name, Reference) else []
            known = found.get(one.config.id)
            found[one.config.id] = one._replace(references=(known.references if known else []) + references)
    return list(found.values())


def read_one(archive: Archive, tag: str, digest: str, wanted: Platform) -> ArchivedImage:
    """One image: that which the index calls ``tag``, has the digest, is called ``latest``, or is the only one.

    Raises as :func:`read`; ``NotFound`` when there is none.
    """
    _check_layout(archive)
    index = manifest.parse(read_small(archive, INDEX, MANIFEST_LIMIT), mediatype.OCI_INDEX, INDEX)
    if not isinstance(index, Index):
        raise InvalidArchive(f"{INDEX} is not an index")
    entries = [entry for entry in index.manifests if not digest or entry.digest == digest]
    named = [entry for entry in entries if _is_called(dict(entry.annotations), tag or "latest")]
    if named or tag:
        entries = named
    chosen = _choose(entries, tag or digest or INDEX, wanted, strict=False)
    if len(chosen) != 1:
        what = f"{len(chosen)} images" if chosen else "no image"
        raise NotFound(f"{INDEX} has {what} for {tag or digest or 'a name that was not given'}")
    return _image(archive, chosen[0], wanted, strict=False)


def _is_called(annotations: dict[str, str], tag: str) -> bool:
    names = (annotations.get(_REF_NAME, ""), annotations.get(_CONTAINERD_NAME, ""))
    return any(name == tag or name.endswith(f":{tag}") for name in names)


def _check_layout(archive: Archive) -> None:
    if not archive.has(_LAYOUT):
        return
    layout = load(read_small(archive, _LAYOUT, MANIFEST_LIMIT), _LAYOUT, MANIFEST_LIMIT)
    version = member(layout, "imageLayoutVersion", str, _LAYOUT, "")
    if version.partition(".")[0] != "1":
        raise Unsupported(f"{_LAYOUT}: imageLayoutVersion {version!r} is not known here, 1.0.0 is")


def _by_name(index: Index) -> dict[Reference | None, list[Descriptor]]:
    """Entries that share a name are one image for several platforms."""
    named: dict[Reference | None, list[Descriptor]] = {}
    for entry in index.manifests:
        named.setdefault(_name(dict(entry.annotations)), []).append(entry)
    return named


def _name(annotations: dict[str, str]) -> Reference | None:
    for text in (annotations.get(_CONTAINERD_NAME, ""), annotations.get(_REF_NAME, "")):
        if ":" not in text and "/" not in text:
            continue  # absent, or a tag without the repository that it belongs to
        try:
            reference = parse(text).tagged()
        except InvalidReference:
            continue
        if reference.digest is None:
            return reference
    return None


def _choose(entries: list[Descriptor], what: object, wanted: Platform, *, strict: bool) -> list[Descriptor]:
    """Of entries for several platforms the best one; entries without a platform are different images: all of them."""
    bare = [entry for entry in entries if entry.platform is None]
    offered = [entry for entry in entries if entry.platform is not None and entry.platform.os != "unknown"]
    if len(offered) == 1 and not strict:
        return [*bare, *offered]
    ranked = [
        (rank, number, entry)
        for number, entry in enumerate(offered)
        if entry.platform is not None and (rank := matches(wanted, entry.platform)) is not None
    ]
    if not ranked and not bare:
        raise NoMatchingPlatform(str(what), wanted)
    return [*bare, *([min(ranked)[2]] if ranked else [])]


def _image(archive: Archive, entry: Descriptor, wanted: Platform, *, strict: bool, depth: int = 0) -> ArchivedImage:
    what = f"manifest {entry.digest}"
    document = manifest.parse(_blob(archive, entry, MANIFEST_LIMIT), entry.media_type, what)
    if isinstance(document, Index):
        if depth == _NESTING_LIMIT:
            raise InvalidArchive(f"{what}: indexes are nested too deeply")
        chosen = _choose(list(document.manifests), what, wanted, strict=strict)
        if not chosen:
            raise NoMatchingPlatform(what, wanted)
        return _image(archive, chosen[0], wanted, strict=strict, depth=depth + 1)
    return _from_manifest(archive, document, what)


def _from_manifest(archive: Archive, document: Manifest, what: str) -> ArchivedImage:
    config = image.parse(_blob(archive, document.config, CONFIG_LIMIT), f"config {document.config.digest}")
    if len(config.diff_ids) != len(document.layers):
        raise InvalidArchive(
            f"{what}: invalid manifest, layers length mismatch: expected {len(config.diff_ids)}, "
            f"got {len(document.layers)}"
        )
    return ArchivedImage(config, [_layer(layer, what) for layer in document.layers], [])


def _layer(layer: Descriptor, what: str) -> LayerContent:
    if mediatype.is_foreign(layer.media_type):
        raise Unsupported(f"{what}: layer {layer.digest} is a foreign layer, whose content is not in the archive")
    if layer.media_type not in mediatype.LAYERS:
        raise Unsupported(f"{what}: layer {layer.digest} has the media type {layer.media_type!r}, which is no layer's")
    return LayerContent(_path(layer.digest), layer.digest, layer.size)


def _path(digest: Digest) -> str:
    return f"blobs/{digest.algorithm}/{digest.hex}"


def _blob(archive: Archive, descriptor: Descriptor, limit: int) -> bytes:
    """A small blob, verified."""
    data = read_small(archive, _path(descriptor.digest), limit)
    if len(data) != descriptor.size:
        raise InvalidArchive(
            f"blob {descriptor.digest}: it has {len(data)} bytes, its descriptor says {descriptor.size}"
        )
    seen = hasher(descriptor.digest.algorithm)
    seen.update(data)
    actual = Digest.from_hash(seen, descriptor.digest.algorithm)
    if actual != descriptor.digest:
        raise DigestMismatch(f"blob {descriptor.digest}", descriptor.digest, actual)
    return data
