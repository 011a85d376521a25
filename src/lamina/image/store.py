"""The image store on disk: Docker's ``imagedb`` and ``repositories.json`` over a layer store."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lamina.contextlib import AbstractContextManager
from lamina.dataroot import DataRoot
from lamina.digest import ChainID, Digest, ImageID, InvalidDigest
from lamina.errors import Corrupt, NotFound
from lamina.image.contract import Image, ImageSummary, ReferenceStore
from lamina.image.database import DamagedImage, ImageDatabase, ImageNotFound, UnreadableImage, image_id
from lamina.image.index import UNKNOWN, Entry, ImageIndex
from lamina.image.references import FileReferenceStore, ReferenceNotFound
from lamina.layer.database import LayerNotFound
from lamina.layer.failure import space_checked
from lamina.layer.store import FileLayerStore
from lamina.oci import image as configurations
from lamina.oci import timestamp
from lamina.reference import Reference, parse
from lamina.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamina.image.contract import ImageStore

#: Kind of a note in the journal: an image that is being made or removed, by the hex part of its ID.
IMAGE_NOTE = "image"


class FileImageStore:
    """See :class:`lamina.image.contract.ImageStore`.

    Opening it on a root that can be written reclaims what interrupted operations left.

    :param recovered: called with the store after it did so: others keep things for images that may be gone now.
    :ivar layers: the layer store below it.
    """

    def __init__(
        self, root: DataRoot, layers: FileLayerStore, recovered: Callable[[FileImageStore], object] | None = None
    ) -> None:
        self.root = root
        self.layers = layers
        self._recovered = recovered
        self.database = ImageDatabase(root)
        self.repositories = FileReferenceStore(root, self.lock, self.database.require)
        self.references: ReferenceStore = self.repositories
        self._index = ImageIndex(root.sub("lamina/index", f"{root.driver_name}.json"), self._describe)
        layers.set_recovery(self.recover)
        if layers.needs_recovery() and not root.read_only:
            self.recover()

    def recover(self) -> None:
        """Finish or undo what interrupted operations left."""
        from lamina.image import recovery

        if recovery.recover(self) and self._recovered is not None:
            self._recovered(self)

    def lock(self) -> AbstractContextManager[None]:
        return self.layers.lock()

    # Reading

    def get(self, id: ImageID) -> Image:
        raw = self.database.read(id)
        try:
            config = configurations.parse(raw, f"image {id}")
        except Corrupt as error:
            raise DamagedImage(id, str(error)) from error
        return Image(id, config, self.database.parent(id), self.database.last_updated(id))

    def ids(self) -> list[ImageID]:
        return [image_id(name) for name in self.database.hexes()]

    def all(self) -> Iterator[Image]:
        for id in self.ids():
            try:
                yield self.get(id)
            except (DamagedImage, ImageNotFound):
                continue  # damaged, or removed meanwhile

    def summaries(self) -> list[ImageSummary]:
        hexes = self.database.hexes()
        entries = self._index.entries(hexes, save=not self.root.read_only)
        return [
            ImageSummary(image_id(name), entry.created, max(entry.size, 0), entry.labels)
            for name, entry in entries.items()
        ]

    def _describe(self, hexpart: str) -> Entry | None:
        try:
            image = self.get(ImageID("sha256:" + hexpart))
        except (DamagedImage, ImageNotFound):
            return None
        try:
            size = sum(layer.size for layer in self.layers.stack(image.config.chain_id))
        except (Corrupt, NotFound):
            size = UNKNOWN
        return Entry(timestamp.or_zero(image.config.created), size, image.config.config.get("Labels"))

    def parents(self) -> dict[ImageID, ImageID]:
        found = {}
        for name in self.database.hexes_with_parent():
            id = image_id(name)
            parent = self.database.parent(id)
            if parent is not None and self.database.exists(id):
                found[id] = parent
        return found

    def children(self, id: ImageID) -> list[ImageID]:
        return [
            child
            for name in self.database.hexes_with_parent()
            if self.database.parent(child := image_id(name)) == id and self.database.exists(child)
        ]

    def resolve(self, text: str) -> Image:
        return self.resolve_name(text)[0]

    def resolve_name(self, text: str) -> tuple[Image, Reference | None]:
        """See the contract. Raises :class:`ImageNotFound` with Docker's message; ``InvalidReference``."""
        id = _full_id(text)
        if id is not None:
            return self.get(id), None
        reference = parse(text).tagged()
        try:
            return self.get(self.references.get(reference)), reference
        except (ReferenceNotFound, ImageNotFound):
            pass
        prefix = text.removeprefix("sha256:")
        matches = [name for name in self.database.hexes() if name.startswith(prefix)]
        if len(matches) != 1:
            raise ImageNotFound(reference.familiar)
        return self.get(ImageID("sha256:" + matches[0])), None

    def size(self, image: Image) -> int:
        """Bytes of all its layers, those that exist and are intact."""
        try:
            return sum(layer.size for layer in self.layers.stack(image.config.chain_id))
        except (Corrupt, NotFound):
            return 0

    def digests(self, id: ImageID) -> list[tuple[str, Digest]]:
        return [
            (reference.familiar_name, reference.digest)
            for reference in self.references.of(id)
            if reference.digest is not None
        ]

    def needed_layers(self) -> set[ChainID]:
        """Tops of the layer stacks of all images and of the build cache.

        A damaged configuration keeps nothing: it does not say what it needs. Raises :class:`UnreadableImage`.
        """
        from lamina.image.kept import cached_layers

        tops = {chain for chain in cached_layers(self.root) if self.layers.exists(chain)}
        for id in self.ids():
            try:
                top = self.get(id).config.chain_id
            except UnreadableImage:
                raise
            except (DamagedImage, ImageNotFound):
                continue
            if top is not None:
                tops.add(top)
        return tops

    # Changing

    def create(self, raw: bytes, *, parent: ImageID | None = None) -> Image:
        """See the contract. Inside a layer transaction's block, image and layers come to exist together."""
        config = configurations.parse(raw)
        id = config.id
        with self.layers.operation() as entry, self.lock(), space_checked(self.root.path):
            top = config.chain_id
            if top is not None and not self.layers.exists(top):
                raise LayerNotFound(top)
            if parent is not None:
                self.database.require(parent)
            if not self.database.exists(id):
                entry.note(IMAGE_NOTE, id.hex)
                if parent is not None:
                    self.database.set_parent(id, parent)
                self.database.write(id, raw)
            elif parent is not None and parent != id and self.database.parent(id) is None:
                self.database.set_parent(id, parent)
        return Image(id, config, self.database.parent(id), self.database.last_updated(id))

    def tag(self, id: ImageID, reference: Reference) -> ImageID | None:
        """Point ``reference`` at ``id`` on a user's behalf: ``lastUpdated`` changes too. As ``ReferenceStore.add``."""
        with self.layers.operation(), self.lock(), space_checked(self.root.path):
            self.database.require(id)
            with self.database.updating(id):
                before = self.references.add(reference, id)
        from lamina.image import telling  # those who only look at images have nothing to tell

        telling.by_id(self.root, self.get(id), "tag", name=reference.familiar)
        return before

    def delete(self, id: ImageID) -> None:
        """See the contract. Its children have no parent afterwards."""
        with self.layers.operation() as entry, self.lock():
            entry.note(IMAGE_NOTE, id.hex)
            children = self.children(id)
            self.database.remove(id)
            for child in children:
                self.database.forget_parent(child)
            self.layers.workshop.trash.discard(self.database.metadata_path(id))


def _full_id(text: str) -> ImageID | None:
    """The image ID that ``text`` is, with or without its algorithm."""
    try:
        return ImageID(text if ":" in text else f"sha256:{text}")
    except InvalidDigest:
        return None


def _implements_contract(store: FileImageStore) -> ImageStore:
    return store
