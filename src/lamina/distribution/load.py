"""``docker load``: images from an archive into the stores, each of them whole or not at all."""

from __future__ import annotations

from lamina.digest import Digest, DigestMismatch, ImageID, hasher
from lamina.distribution import docker_archive, oci_archive
from lamina.distribution.archive import open_archive
from lamina.distribution.archived import ArchivedImage, LayerContent
from lamina.distribution.content import Archive, Content, InvalidArchive
from lamina.distribution.parallel import Stop, run_all
from lamina.distribution.stores import Stores
from lamina.errors import Unsupported
from lamina.image import telling
from lamina.layer.contract import Layer, StagedLayer
from lamina.oci import platform as platforms
from lamina.oci.platform import Platform
from lamina.progress import Event, Report, ignore
from lamina.reference import Reference
from lamina.typing import IO, NamedTuple

#: Layers of one image that are unpacked at the same time.
_WORKERS = 2


class Replaced(NamedTuple):
    """A tag that pointed at another image before."""

    reference: Reference
    image_id: ImageID


class LoadedImage(NamedTuple):
    """One image that was loaded, or was there already.

    :ivar references: the tags that now point at it.
    :ivar replaced: those of them that pointed at other images.
    """

    image_id: ImageID
    references: list[Reference]
    replaced: list[Replaced]

    @property
    def messages(self) -> list[str]:
        """What ``docker load`` prints about it, line by line."""
        before = {replaced.reference: replaced.image_id for replaced in self.replaced}
        lines = []
        for reference in self.references:
            if reference in before:
                lines.append(
                    f"The image {reference.familiar} already exists, renaming the old one with ID "
                    f"{before[reference]} to empty string"
                )
            lines.append(f"Loaded image: {reference.familiar}")
        return lines or [f"Loaded image ID: {self.image_id}"]


def load(
    source: IO[bytes] | str, stores: Stores, *, platform: Platform | None = None, report: Report = ignore
) -> list[LoadedImage]:
    """Load every image of an archive, in the archive's order.

    Images before one that fails stay; of the one that fails nothing does. Layers that exist are not read.

    :param source: path of a file or directory, or a binary stream: a Docker archive or an OCI layout, plain or
        compressed.
    :param platform: which image to take where an index offers several; the host's when ``None``.
    :raises Corrupt: the archive's structure or content is not what it says.
    :raises NotFound: there is no such file, or no image for ``platform``.
    """
    stores.root.require_writable()
    with open_archive(source, stores.root.sub("tmp")) as archive:
        loaded = []
        for one in _images(archive, platform):
            loaded.append(image := _load(archive, one, stores, report))
            telling.by_id(stores.root, stores.images.get(image.image_id), "load")
        return loaded


def load_layout(path: str, stores: Stores, *, tag: str = "", digest: str = "", platform: Platform) -> ImageID:
    """One image of an OCI layout on this host, without its names.

    :param tag: of the image in the layout's index; with neither it nor ``digest`` the one that is called ``latest``, or
        the only one.
    :raises NotFound: there is no such image.
    """
    stores.root.require_writable()
    with open_archive(path, stores.root.sub("tmp")) as archive:
        one = oci_archive.read_one(archive, tag, digest, platform)
        return _load(archive, one._replace(references=[]), stores, ignore).image_id


def _images(archive: Archive, platform: Platform | None) -> list[ArchivedImage]:
    if archive.has(docker_archive.MANIFEST):
        return docker_archive.read(archive)
    if archive.has(oci_archive.INDEX):
        return oci_archive.read(archive, platform or platforms.host(), strict=platform is not None)
    if archive.has("repositories"):
        raise Unsupported(
            "invalid archive: it was written by a Docker older than 1.10, without a manifest.json; "
            "load it with a Docker up to 27 and save it again"
        )
    raise InvalidArchive("invalid archive: does not contain a manifest.json or an index.json")


def _load(archive: Archive, one: ArchivedImage, stores: Stores, report: Report) -> LoadedImage:
    if one.config.platform.os != "linux":
        raise Unsupported(f"cannot load {one.config.platform.os} image on linux")
    with stores.layers.begin() as transaction:
        wanted: list[tuple[StagedLayer, LayerContent]] = []
        parent: Layer | StagedLayer | None = None
        for diff_id, content in zip(one.config.diff_ids, one.layers, strict=True):
            parent = transaction.claim(diff_id, parent)
            if not isinstance(parent, Layer) and all(parent is not staged for staged, _ in wanted):
                wanted.append((parent, content))
        run_all([_Unpacking(archive, *pair, report) for pair in wanted], _WORKERS)
        transaction.commit()
        with stores.images.lock():  # nobody may remove the image before it has its names
            image = stores.images.create(one.config.raw, parent=one.parent)
            before = stores.images.references.add_all(one.references, image.id)
    replaced = [Replaced(name, old) for name, old in zip(one.references, before, strict=True) if old is not None]
    return LoadedImage(image.id, one.references, replaced)


class _Unpacking(NamedTuple):
    """The task of filling one layer."""

    archive: Archive
    staged: StagedLayer
    place: LayerContent
    report: Report

    def __call__(self, stop: Stop) -> None:
        with self.archive.open(self.place.name) as content:
            if self.place.size is not None and content.size != self.place.size:
                raise InvalidArchive(
                    f"{self.place.name}: it has {content.size} bytes, its descriptor says {self.place.size}"
                )
            self._feed(content, stop)

    def _feed(self, content: Content, stop: Stop) -> None:
        # The digest of a plain tar is its DiffID, which unpacking finds out anyway.
        stated = self.place.digest if self.place.digest != self.staged.diff_id else None
        seen = hasher(stated.algorithm) if stated else None
        name = self.staged.diff_id.hex[:12] if self.staged.diff_id else ""
        done = 0
        job = self.staged.unpack()
        try:
            for chunk in content.chunks():
                stop.check()
                job.feed(chunk)
                if seen is not None:
                    seen.update(chunk)
                done += len(chunk)
                self.report(Event("Loading layer", name, done, content.size))
            if stated is not None and seen is not None:
                actual = Digest.from_hash(seen, stated.algorithm)
                if actual != stated:
                    raise DigestMismatch(f"layer {self.place.name}", stated, actual)
            job.finish()
        except BaseException:
            job.abort()
            raise
