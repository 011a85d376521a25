"""``docker rmi``: names first, then the image, then the parents and layers that nothing needs any more.

Rules and messages are moby's (``daemon/images/image_delete.go``), because clients match on them: a name is removed when
the image has others; the last name takes the image along; an ID removes an image only when all its names are in one
repository. Hard conflicts (children, running containers) hold even when forced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from lamina.digest import ImageID
from lamina.errors import Conflict
from lamina.image import telling
from lamina.image.contract import ContainerUse, Image, InUse
from lamina.image.store import IMAGE_NOTE, FileImageStore
from lamina.layer.journal import Entry
from lamina.layer.store import FileLayerStore
from lamina.reference import Reference
from lamina.typing import NamedTuple


class Untagged(NamedTuple):
    """A name that was removed, in familiar form."""

    reference: str


class Deleted(NamedTuple):
    """An image, or a layer (by its ChainID), that was removed.

    :ivar size: bytes of the layer; 0 for an image.
    """

    id: str
    size: int = 0


Removed = Untagged | Deleted


class ReferenceInUse(Conflict):
    """The only name of an image that a container uses."""

    def __init__(self, text: str, use: ContainerUse) -> None:
        super().__init__(
            f'conflict: unable to remove repository reference "{text}" (must force) - container '
            f"{use.container_id[:12]} is using its referenced image {use.image_id.hex[:12]}"
        )


class ImageInUse(Conflict):
    """Something needs the image.

    :ivar hard: whether force does not help.
    :ivar used: whether it is a container that needs it.
    """

    def __init__(self, id: ImageID, why: str, *, hard: bool, used: bool) -> None:
        how = "cannot be forced" if hard else "must be forced"
        super().__init__(f"conflict: unable to delete {id.hex[:12]} ({how}) - {why}")
        self.hard = hard
        self.used = used


def no_containers() -> Iterable[ContainerUse]:
    """The :data:`InUse` of a store without containers."""
    return ()


def remove(
    images: FileImageStore,
    layers: FileLayerStore,
    text: str,
    *,
    force: bool = False,
    prune: bool = True,
    in_use: InUse = no_containers,
) -> list[Removed]:
    """Remove what ``text`` names, an image by reference, ID or prefix.

    :param prune: remove nameless parents that nothing needs any more, too.
    :returns: what was removed, in order.
    :raises ImageNotFound: Docker's message. :raises Conflict: see the rules above; nothing was changed.
    """
    containers = list(in_use())  # before the lock: looking after a container may need a lock of its own
    with layers.operation() as entry, images.lock():
        image, reference = images.resolve_name(text)
        return _Removal(images, layers, entry, force=force, prune=prune, containers=containers).run(
            text, image, reference
        )


class _Removal:
    """One removal; the store is locked."""

    def __init__(
        self,
        images: FileImageStore,
        layers: FileLayerStore,
        entry: Entry,
        *,
        force: bool,
        prune: bool,
        containers: list[ContainerUse],
    ) -> None:
        self._images = images
        self._layers = layers
        self._entry = entry
        self._references = images.references
        self._force = force
        self._prune = prune
        self._containers = containers
        self._removed: list[Removed] = []

    def run(self, text: str, image: Image, reference: Reference | None) -> list[Removed]:
        if reference is None or _is_id_prefix(image.id, text):
            self._remove_names_of_one_repository(image)
            self._remove_image(image, force=self._force, quiet=False)
        elif not self._remove_name(text, image, reference):
            self._remove_image(image, force=self._force, quiet=True)
        return self._removed

    def _remove_name(self, text: str, image: Image, reference: Reference) -> bool:
        """Remove one name; whether others are left, which end the matter."""
        id = image.id
        names = self._references.of(id)
        if not self._force and _in_one_repository(names):
            use = self._first(lambda container: container.image_id == id)
            if use is not None:
                raise ReferenceInUse(text, use)
        self._untag(reference, image)
        names = self._references.of(id)
        if reference.digest is None and not any(name.tag is not None and name.name == reference.name for name in names):
            for name in names:
                if name.name == reference.name:
                    self._untag(name)  # of which Docker tells nobody
            names = [name for name in names if name.name != reference.name]
        return bool(names)

    def _remove_names_of_one_repository(self, image: Image) -> None:
        """Names of an image that is asked for by ID: all of them, when they are in one repository."""
        names = self._references.of(image.id)
        if not _in_one_repository(names):
            return
        self._check(image.id, force=self._force, names_count=False)
        for name in names:
            self._untag(name, image)

    def _remove_image(self, image: Image, *, force: bool, quiet: bool) -> None:
        """Remove an image and, where allowed, its nameless parents. ``quiet`` lets a conflict end it without error."""
        while True:
            try:
                self._check(image.id, force=force)
            except ImageInUse as conflict:
                if quiet and (not self._is_dangling(image.id) or conflict.used):
                    return
                raise
            for name in self._references.of(image.id):
                self._untag(name, image)
            self._delete(image)
            if not self._prune or image.parent is None or not self._images.database.exists(image.parent):
                return
            image, force, quiet = self._images.get(image.parent), False, True

    def _delete(self, image: Image) -> None:
        self._images.delete(image.id)
        self._removed.append(Deleted(str(image.id)))
        telling.deleted(self._images.root, image)
        top = image.config.chain_id
        if top is not None:
            removed = self._layers.release(self._images.needed_layers(), [top])
            self._removed += [Deleted(str(layer.chain_id), layer.size) for layer in removed]

    def _untag(self, reference: Reference, image: Image | None = None) -> None:
        """Remove a name, and tell of it where ``image``, whose name it was, is given."""
        self._entry.note(IMAGE_NOTE, self._references.get(reference).hex)
        self._references.remove(reference)
        self._removed.append(Untagged(reference.familiar))
        if image is not None:
            telling.by_id(self._images.root, image, "untag")

    def _check(self, id: ImageID, *, force: bool, names_count: bool = True) -> None:
        """Raises :class:`ImageInUse` for the first thing that needs the image, in Docker's order."""
        if self._images.children(id):
            raise ImageInUse(id, "image has dependent child images", hard=True, used=False)
        use = self._first(lambda container: container.image_id == id and container.running)
        if use is not None:
            why = f"image is being used by running container {use.container_id[:12]}"
            raise ImageInUse(id, why, hard=True, used=True)
        if force:
            return
        if names_count and self._references.of(id):
            raise ImageInUse(id, "image is referenced in multiple repositories", hard=False, used=False)
        use = self._first(lambda container: container.image_id == id and not container.running)
        if use is not None:
            why = f"image is being used by stopped container {use.container_id[:12]}"
            raise ImageInUse(id, why, hard=False, used=True)

    def _is_dangling(self, id: ImageID) -> bool:
        return not self._references.of(id) and not self._images.children(id)

    def _first(self, wanted: Callable[[ContainerUse], bool]) -> ContainerUse | None:
        return next((container for container in self._containers if wanted(container)), None)


def _is_id_prefix(id: ImageID, text: str) -> bool:
    return id.startswith(text) or id.hex.startswith(text)


def _in_one_repository(names: list[Reference]) -> bool:
    """Whether the names are at most one tag, with digests of the same repository."""
    if len(names) <= 1:
        return True
    tags = [name for name in names if name.digest is None]
    if len(tags) > 1:
        return False
    repository = tags[0].name if tags else names[0].name
    return {name.name for name in names if name.digest is not None} == {repository}
