"""Where a stage's files come from: images, earlier stages, named contexts."""

from __future__ import annotations

from _thread import LockType, allocate_lock
from collections.abc import Iterator

from lamina import reference as references
from lamina.builder.distant import AnyLayer, DistantImage
from lamina.builder.request import Fetch, Offer
from lamina.builder.session import Session
from lamina.builder.tree import Tree
from lamina.collections import defaultdict
from lamina.contextlib import contextmanager
from lamina.digest import ChainID, ImageID
from lamina.errors import InvalidArgument, NotFound
from lamina.image.contract import Image
from lamina.image.database import ImageNotFound
from lamina.layer.contract import Layer
from lamina.oci.platform import Platform
from lamina.oci.platform import from_text as platform_from_text
from lamina.owners import SAME

SCRATCH = "scratch"


class NoContext(InvalidArgument):
    """An instruction needs a build context, and there is none."""


class Images:
    """Finds base images, on this root first.

    Of one that is elsewhere the configuration comes at once, all else when something needs it.

    :param fetch: finds what is not here; ``None`` never does.
    """

    def __init__(self, session: Session, fetch: Fetch | None) -> None:
        self._session = session
        self._fetch = fetch
        self._offers: dict[ImageID, Offer] = {}
        self._distant: dict[ImageID, DistantImage] = {}
        self._known: dict[tuple[str, str], Image] = {}
        self._locks: defaultdict[tuple[str, str], LockType] = defaultdict(allocate_lock)

    def get(self, name: str, platform: Platform | None = None) -> Image:
        """The image of a ``FROM`` or ``COPY --from``.

        :raises NotFound: it is neither here nor can be fetched.
        """
        key = name, str(platform or "")
        with self._locks[key]:
            if key not in self._known:
                self._known[key] = self._find(name, platform)
            return self._known[key]

    def here(self, name: str) -> Image | None:
        """The image of that name on this root, unless it is to be fetched anyway."""
        if self._session.request.pull:
            return None
        try:
            return self._session.images.resolve(name)
        except ImageNotFound:
            return None

    def _find(self, name: str, platform: Platform | None) -> Image:
        wanted = platform or self._session.request.platform
        image = self.here(name)
        if image is not None and (wanted is None or _same(image, wanted)):
            return image
        try:
            reference = references.parse_tagged(name)
        except references.InvalidReference as error:
            raise InvalidArgument(f'failed to parse stage name "{name}": {error}') from error
        if self._fetch is None:
            raise NotFound(f"pull access denied for {reference.familiar_name}, repository does not exist here")
        offer = self._fetch(reference, wanted)
        if self._session.request.no_cache or self._session.request.pull:
            return offer.bring()
        self._offers[offer.image.id] = offer
        return offer.image

    def bring(self, image: Image) -> None:
        """Have an image in the store that was found."""
        offer = self._offers.get(image.id)
        if offer is not None:
            offer.bring()

    def layer(self, image: Image, name: str) -> AnyLayer | None:
        """The top layer of an image, which the user calls ``name``. One in the store stays while the build lasts.

        Layers of one that is not may be here all the same; whoever needs their files has it pulled, for its name.
        """
        session, chain = self._session, image.config.chain_id
        if chain is None or image.id not in self._offers:
            return session.base(image)

        def bring() -> Layer:
            self.bring(image)
            layer = session.hold(chain)
            assert layer is not None, "it was pulled just now"
            return layer

        return self._distant.setdefault(image.id, DistantImage(name, chain, bring))


def _same(image: Image, platform: Platform) -> bool:
    found = image.config.platform
    return (found.os, found.architecture) == (platform.os, platform.architecture) and (
        not platform.variant or found.variant == platform.variant
    )


class Place:
    """One source of ``COPY --from`` or ``RUN --mount=from=``: files, and what identifies them.

    :ivar identity: of its content, when that can't change: the ChainID. ``""`` for a directory on the host.
    """

    def __init__(self, session: Session, layer: AnyLayer | None, path: str, shown: str) -> None:
        self._session = session
        self._layer = layer
        self._path = path
        self._shown = shown

    @property
    def identity(self) -> str:
        if self._path:
            return ""
        chain: ChainID | None = self._layer.chain_id if self._layer is not None else None
        return str(chain or SCRATCH)

    @contextmanager
    def directory(self) -> Iterator[str]:
        """Its host path."""
        if self._path:
            yield self._path
        else:
            with self._session.view(self._layer) as path:
                yield path

    @contextmanager
    def opened(self) -> Iterator[Tree]:
        """Its files, as long as the context lasts."""
        with self.directory() as path:
            owners = SAME if self._path else self._session.root.owners
            tree = Tree(path, owned=not self._path, shown=self._shown, owners=owners)
            try:
                yield tree
            finally:
                tree.close()


def of_directory(session: Session, path: str, shown: str) -> Place:
    return Place(session, None, path, shown)


def of_layer(session: Session, layer: AnyLayer | None, shown: str) -> Place:
    return Place(session, layer, "", shown)


def parsed_platform(text: str) -> Platform | None:
    """The value of ``--platform``; ``None`` for an empty one."""
    return platform_from_text(text) if text else None
