"""What an image store is: which configurations exist, and what names point at them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from lamina.contextlib import AbstractContextManager
from lamina.digest import Digest, ImageID
from lamina.oci.image import ImageConfig
from lamina.reference import Reference
from lamina.typing import NamedTuple, Protocol


class Image(NamedTuple):
    """One configuration and what the store knows beside it.

    :ivar parent: the image it was built or committed from on this host, as ``docker history`` follows it.
    :ivar last_updated: RFC 3339 text of the last tag or build, ``""`` when unknown (``lastUpdated``).
    """

    id: ImageID
    config: ImageConfig
    parent: ImageID | None = None
    last_updated: str = ""


class ImageSummary(NamedTuple):
    """What a list shows of an image.

    :ivar created: nanoseconds since 1970; those of Go's zero time when the configuration does not say.
    :ivar size: bytes of all layers.
    """

    id: ImageID
    created: int
    size: int
    labels: dict[str, str] | None


class ContainerUse(NamedTuple):
    """A container as removal sees it.

    :ivar image_id: the image that it was made from.
    :ivar reference: the name that it was made by.
    """

    container_id: str
    image_id: ImageID
    running: bool
    reference: str = ""


#: Tells which containers there are; asked only when it matters.
InUse = Callable[[], Iterable[ContainerUse]]


class ReferenceStore(Protocol):
    """``repositories.json``: names to image IDs. Every change is atomic and safe between processes."""

    def get(self, reference: Reference) -> ImageID:
        """Exact reference (tag or digest). Raises ``NotFound``."""

    def add(self, reference: Reference, id: ImageID) -> ImageID | None:
        """Point ``reference`` at ``id``; the image that it pointed at before, if another.

        Raises ``NotFound`` when there is no such image (hold the store's lock from its creation on).
        """

    def add_all(self, references: Sequence[Reference], id: ImageID) -> list[ImageID | None]:
        """:meth:`add` for several names in one step."""

    def remove(self, reference: Reference) -> bool:
        """Forget ``reference``; whether it was there."""

    def of(self, id: ImageID) -> list[Reference]:
        """All references of one image, sorted."""

    def all(self) -> dict[Reference, ImageID]: ...

    def by_image(self) -> Mapping[str, Sequence[str]]:
        """Every name in familiar form (``nginx:latest``, ``nginx@sha256:...``) by its image's ID, sorted as
        :meth:`of` sorts; fast for ten thousand of them."""


class ImageStore(Protocol):
    """Images on one data root. Thread-safe and safe between processes."""

    references: ReferenceStore

    def get(self, id: ImageID) -> Image:
        """Raises ``NotFound``; ``Corrupt`` when the file's digest is not its name."""

    def ids(self) -> list[ImageID]: ...

    def all(self) -> Iterator[Image]:
        """Every readable image; damaged ones are skipped (``problems`` lists them)."""

    def summaries(self) -> list[ImageSummary]:
        """What :meth:`all` knows of every readable image, fast for ten thousand of them, in no particular order."""

    def parents(self) -> dict[ImageID, ImageID]:
        """Every image that has a parent on this host, with it."""

    def create(self, raw: bytes, *, parent: ImageID | None = None) -> Image:
        """Add a configuration. Its layers must exist (``NotFound`` otherwise). Idempotent."""

    def tag(self, id: ImageID, reference: Reference) -> ImageID | None:
        """``references.add`` as a user asks for it: the image's ``LastTagTime`` is now."""

    def delete(self, id: ImageID) -> None:
        """Forget a configuration; its layers stay until ``LayerStore.release``. Idempotent."""

    def children(self, id: ImageID) -> list[ImageID]:
        """Images whose ``parent`` is ``id``."""

    def resolve(self, text: str) -> Image:
        """What a user means by ``text``: a reference, an ID or an unambiguous prefix of one (``sha256:`` or bare).

        A name wins over an ID prefix, as in Docker. Raises ``NotFound`` ``No such image: TEXT``.
        """

    def resolve_name(self, text: str) -> tuple[Image, Reference | None]:
        """The same, and the reference that matched (``None`` when an ID did)."""

    def size(self, image: Image) -> int:
        """Bytes of all its layers."""

    def lock(self) -> AbstractContextManager[None]:
        """The store-wide lock, the layer store's too: adding an image and releasing layers exclude each other."""

    def digests(self, id: ImageID) -> list[tuple[str, Digest]]:
        """``RepoDigests``: familiar repository name and manifest digest."""
