"""The engine: one object that wires everything to one data root, and the Python API.

>>> import lamina
>>> engine = lamina.Engine("/var/lib/lamina")  # doctest: +SKIP
>>> for event in engine.images.pull("nginx"):  # doctest: +SKIP
...     print(event.id, event.status)

The parts are imported where they are first used: a command that lists containers has no need of an HTTP client.
"""

from __future__ import annotations

from lamina.configuration import Configuration
from lamina.functools import cached_property
from lamina.typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import TracebackType

    from lamina.container.service import ContainerService
    from lamina.dataroot import DataRoot
    from lamina.distribution.stores import Stores
    from lamina.engine.builds import Builds
    from lamina.engine.containers import Containers
    from lamina.engine.images import Images
    from lamina.engine.pruning import Pruned
    from lamina.graphdriver.choice import Choice
    from lamina.graphdriver.contract import GraphDriver
    from lamina.image.store import FileImageStore
    from lamina.layer.finding import Report
    from lamina.layer.store import FileLayerStore
    from lamina.network.service import Networks
    from lamina.registry.client import RegistryClient
    from lamina.registry.credentials import CredentialSource
    from lamina.registry.settings import Proxies
    from lamina.volume.store import VolumeStore

__all__ = ["DEFAULT_ROOT", "Engine"]

#: Where images and containers are when nobody says otherwise.
DEFAULT_ROOT = "/var/lib/lamina"


class Engine:
    """Images, layers and containers of one data root.

    Opening one is cheap and changes nothing. It may be shared between threads, and any number of processes may have
    one on the same root. Closing it (or leaving its ``with`` block) closes connections; containers go on.

    :param root: the data root; made at the first write when it is absent. Default: the configuration's, else
        :data:`DEFAULT_ROOT`.
    :param storage_driver: ``overlay2`` or ``vfs``. Default: what the root has, else the first that works.
    :param userns_remap: whose subordinate ids the containers' users have on the host, as in ``userns-remap`` of
        ``daemon.json``; ``""`` for nobody's. The data root is a directory of its own below ``root`` then. Default: the
        configuration's.
    :param configuration: default: the defaults; nothing is read from ``/etc``.
    :param proxies: how to reach registries when the configuration does not say.
    :param credentials: who to be at a registry. Default: nobody.
    """

    def __init__(
        self,
        root: str | None = None,
        *,
        storage_driver: str | None = None,
        userns_remap: str | None = None,
        configuration: Configuration | None = None,
        proxies: Proxies | None = None,
        credentials: CredentialSource | None = None,
    ) -> None:
        self.configuration = configuration if configuration is not None else Configuration()
        self._path = root or self.configuration.data_root or DEFAULT_ROOT
        self._storage_driver = storage_driver or self.configuration.storage_driver or None
        self._userns_remap = self.configuration.userns_remap if userns_remap is None else userns_remap
        self._proxies = proxies
        self._credentials = credentials

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close what is open. Idempotent; the engine can be used again."""
        client: RegistryClient | None = self.__dict__.pop("registry", None)
        if client is not None:
            client.close()

    # The Python API

    @cached_property
    def images(self) -> Images:
        """Pull, build on, look at and push images."""
        from lamina.engine.images import Images

        return Images(self)

    @cached_property
    def containers(self) -> Containers:
        """Run containers and look after them."""
        from lamina.engine.containers import Containers

        return Containers(self)

    def check(self, *, deep: bool = False, repair: bool = False) -> Report:
        """Look at everything on the root, as ``lamina system fsck``: what is unaccounted for, damaged or missing.

        :param deep: also read all content and compare it with its digests.
        :param repair: reclaim what nothing refers to and mend what can be mended.
        :raises RootInUse: a repair while a dockerd works on the root.
        """
        from lamina.container import inspection
        from lamina.distribution import originals
        from lamina.functools import partial
        from lamina.image.fsck import fsck

        return fsck(
            self.image_store,
            deep=deep,
            repair=repair,
            before=[partial(inspection.monitors, self.container_service.parts)],
            after=[partial(originals.suspects, self.stores)],
        )

    def prune_volumes(self, filters: Mapping[str, Sequence[str]] | None = None) -> Pruned:
        """Remove volumes that no container has; see :func:`lamina.engine.pruning.volumes`."""
        from lamina.engine import pruning

        return pruning.volumes(self, filters or {})

    def prune_networks(self, filters: Mapping[str, Sequence[str]] | None = None) -> Pruned:
        """Remove networks that no container is on; see :func:`lamina.engine.pruning.networks`."""
        from lamina.engine import pruning

        return pruning.networks(self, filters or {})

    def events(
        self,
        *,
        since: int | None = None,
        until: int | None = None,
        filters: Mapping[str, Sequence[str]] | None = None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Iterator[dict[str, Any]]:
        """What happened, whoever did it: documents of the Engine API's ``GET /events``, in order.

        Without ``until`` this waits for what happens next, and never ends.

        :param since: nanoseconds since 1970; default: now, or the oldest known when there is an ``until``.
        :param filters: as ``docker events --filter``: ``{"type": ["container"], "event": ["start", "die"]}``.
        :param stopped: asked from time to time; once it says yes this ends.
        """
        from lamina.engine import events

        return events.read(self.root, since=since, until=until, filters=filters, stopped=stopped)

    @cached_property
    def builds(self) -> Builds:
        """Build images from Dockerfiles."""
        from lamina.engine.builds import Builds

        return Builds(self)

    # The parts, for the fronts

    @cached_property
    def root(self) -> DataRoot:
        from lamina.dataroot import DataRoot

        if not self._userns_remap:
            return DataRoot.open(self._path)
        from lamina.engine import remapping  # few hosts have it

        owners = remapping.owners_of(self._userns_remap)
        return DataRoot.open(remapping.root_of(self._path, owners) if owners.are_mapped else self._path, owners=owners)

    @cached_property
    def driver(self) -> GraphDriver:
        from lamina.graphdriver.choice import open_driver

        driver = open_driver(self.root.path, self._storage_driver, self.root.owners)
        self.root.prepare(driver.name)
        return driver

    @property
    def driver_choices(self) -> list[Choice]:
        """Every graph driver with what speaks for or against it here, preferred ones first."""
        from lamina.graphdriver.choice import explain

        return explain(self.root.path, self._storage_driver)

    @cached_property
    def layers(self) -> FileLayerStore:
        from lamina.layer.store import FileLayerStore

        return FileLayerStore(self.root, self.driver)

    @cached_property
    def image_store(self) -> FileImageStore:
        from lamina.image.store import FileImageStore

        return FileImageStore(self.root, self.layers, self._recovered)

    def _recovered(self, images: FileImageStore) -> None:
        from lamina.distribution import originals
        from lamina.distribution.stores import Stores

        originals.prune(Stores(self.root, self.layers, images))

    @property
    def stores(self) -> Stores:
        """What pull, push, save, load and import work on."""
        from lamina.distribution.stores import Stores

        return Stores(self.root, self.layers, self.image_store)

    @cached_property
    def volumes(self) -> VolumeStore:
        from lamina.volume.store import VolumeStore

        return VolumeStore(self.root)

    @cached_property
    def networks(self) -> Networks:
        """Make, look at and remove networks, and put containers on them."""
        return self._open_networks(self.root)

    def _open_networks(self, root: DataRoot) -> Networks:
        from lamina.container.rundirectory import RunDirectory
        from lamina.network.service import Networks

        def alive(container_id: str) -> bool:
            return RunDirectory(root.sub("lamina", "run", container_id)).alive()

        def settle(container_id: str) -> None:
            from lamina.container.store import NoSuchContainer

            try:
                self.container_service.get(container_id)
            except NoSuchContainer:
                return

        is_default = root.path == DEFAULT_ROOT
        return Networks(root, is_default=is_default, alive=alive, settle=settle, configuration=self.configuration)

    @cached_property
    def container_service(self) -> ContainerService:
        from lamina.container.service import ContainerService

        def open_volumes(root: DataRoot) -> VolumeStore:
            from lamina.volume.store import VolumeStore

            return VolumeStore(root)

        def open_images() -> FileImageStore:
            return self.image_store

        if self.layers.needs_recovery():  # that is done by opening the image store
            open_images()
        return ContainerService(
            self.root,
            self.layers,
            open_images,
            open_volumes,
            self._open_networks,
            configuration=self.configuration,
        )

    @cached_property
    def registry(self) -> RegistryClient:
        """The HTTP client for registries, with the configuration's mirrors, proxies and certificates."""
        from lamina.registry.client import RegistryClient
        from lamina.registry.credentials import NoCredentials
        from lamina.registry.settings import Proxies, from_configuration

        settings = from_configuration(self.configuration)
        if self._proxies is not None and settings.proxies == Proxies():
            settings = settings._replace(proxies=self._proxies)
        return RegistryClient(settings, self._credentials or NoCredentials())
