"""What to build, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from lamina.builder.tree import Matcher
from lamina.digest import ImageID
from lamina.image.contract import Image
from lamina.oci.platform import Platform
from lamina.reference import Reference
from lamina.typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from lamina.builder.cacheoptions import CacheExport, CacheImport
    from lamina.builder.keyfile import KeyFile
    from lamina.builder.wasting import Waste

_NOTHING: Mapping[str, str] = MappingProxyType({})


class Offer(Protocol):
    """An image that is elsewhere.

    :ivar image: known by its configuration.
    """

    image: Image

    def bring(self) -> Image:
        """Have it in the image store, with its layers. Idempotent."""


#: Finds an image that is not here, or again: by name and platform.
Fetch = Callable[[Reference, Platform | None], Offer]


class BuildRequest(NamedTuple):
    """One build.

    :ivar dockerfile: its bytes.
    :ivar context: host path of the build context; ``""`` when there is none.
    :ivar ignored: what ``.dockerignore`` hides.
    :ivar remembered: whether digests of the context's files are kept for the next build.
    :ivar contexts: ``--build-context``: name to value, see :mod:`lamina.builder.namedcontexts`.
    :ivar target: name or number of the stage to build; ``""`` for the last one.
    :ivar labels: ``--label``.
    :ivar network: ``default``, ``host`` or ``none``, for ``RUN``.
    :ivar platform: of base images; ``None`` for this host's.
    :ivar epoch: ``SOURCE_DATE_EPOCH`` in seconds, or ``None``.
    :ivar secrets: ``--secret``: id to content.
    :ivar cache_from: caches that are believed beside this root's.
    :ivar cache_to: caches that get the steps of this build.
    :ivar keep_failed: make an image of the stage whose command failed, as that left it.
    :ivar advise: find out what wastes space in the result.
    :ivar only_cached: do nothing; the first step that is not in the cache ends the build.
    :ivar agents: ``--ssh``: id to host path of an SSH agent's socket, or to keys for one of the build's own.
    :ivar limits: members of Docker's ``HostConfig`` for every ``RUN``.
    :ivar allowed: entitlements: ``security.insecure``.
    :ivar squash: put all that was added to the base into one layer.
    """

    dockerfile: bytes
    dockerfile_name: str = "Dockerfile"
    context: str = ""
    ignored: Matcher | None = None
    remembered: bool = True
    contexts: Mapping[str, str] = _NOTHING
    arguments: Mapping[str, str] = _NOTHING
    target: str = ""
    tags: tuple[Reference, ...] = ()
    labels: Mapping[str, str] = _NOTHING
    no_cache: bool = False
    pull: bool = False
    network: str = "default"
    platform: Platform | None = None
    epoch: int | None = None
    secrets: Mapping[str, bytes] = MappingProxyType({})
    cache_from: tuple[CacheImport, ...] = ()
    cache_to: tuple[CacheExport, ...] = ()
    squash: bool = False
    keep_failed: bool = False
    advise: bool = False
    only_cached: bool = False
    agents: Mapping[str, str | tuple[KeyFile, ...]] = _NOTHING
    limits: Mapping[str, Any] = MappingProxyType({})
    allowed: frozenset[str] = frozenset()


class BuildResult(NamedTuple):
    """What was built.

    :ivar warnings: lines for the user.
    :ivar waste: what wastes space, when the request wants to know.
    :ivar cached: whether every step of the wanted stage was in the cache.
    """

    image_id: ImageID
    image: Image
    warnings: tuple[str, ...] = ()
    waste: tuple[Waste, ...] = ()
    cached: bool = False
