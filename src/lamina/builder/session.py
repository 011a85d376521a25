"""What the stages of one build share: stores, transaction, cache, warden, progress."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from threading import Lock, RLock

from lamina.builder.arguments import BuildArguments, platform_arguments
from lamina.builder.distant import AnyLayer
from lamina.builder.lookup import Lookup
from lamina.builder.progress import StepProgress, Steps
from lamina.builder.request import BuildRequest
from lamina.builder.stage import digest_of
from lamina.builder.sums import FileSums
from lamina.builder.tree import Tree
from lamina.configuration import Configuration
from lamina.contextlib import AbstractContextManager, ExitStack, contextmanager
from lamina.dataroot import DataRoot
from lamina.digest import ChainID
from lamina.errors import Cancelled, LaminaError, NotFound
from lamina.graphdriver.removal import remove_tree
from lamina.image.contract import Image
from lamina.image.store import FileImageStore
from lamina.layer.contract import Layer
from lamina.layer.database import LayerNotFound
from lamina.layer.staged import Staged
from lamina.layer.store import FileLayerStore
from lamina.oci import platform as platforms
from lamina.oci import timestamp
from lamina.typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    from lamina.builder.network import Place
    from lamina.builder.warden import Warden
    from lamina.network.service import Networks
    from lamina.registry.client import RegistryClient
    from lamina.registry.settings import Settings

#: What is done beside the stages at the same time.
_AT_ONCE = 4

_T = TypeVar("_T")


class Session:
    """One build's surroundings. A context manager: leaving it undoes what :meth:`publish` has not made permanent.

    :ivar arguments: build arguments of all stages.
    :ivar configuration: daemon.json, for containers.
    :ivar steps: tells of what is done.
    :ivar lookup: knows what was done before.
    :ivar cached: whether all that was wanted had been done before.
    """

    def __init__(
        self,
        root: DataRoot,
        layers: FileLayerStore,
        images: FileImageStore,
        request: BuildRequest,
        steps: Steps,
        *,
        settings: Callable[[], Settings] | None = None,
        client: Callable[[], RegistryClient] | None = None,
        networks: Callable[[], Networks] | None = None,
        configuration: Configuration | None = None,
    ) -> None:
        self._networks = networks
        self.configuration = configuration or Configuration()
        self.root = root
        self.layers = layers
        self.images = images
        self.request = request
        self.steps = steps
        self._settings = settings
        self.platform = request.platform or platforms.host()
        self.arguments = BuildArguments(request.arguments, platform_arguments(platforms.host(), self.platform))
        self._lock = RLock()
        self._stack = ExitStack()
        self._resources = ExitStack()
        self.cached = False
        self._cancelled = False
        self._told = False
        self._warden: Warden | None = None
        self._workers: ThreadPoolExecutor | None = None
        self._agents: dict[str, str] = {}
        self._starting_agent = Lock()  # apart from the other, which who cancels the build needs
        self._garbage: list[Callable[[], None]] = []
        self._context: Tree | None = None
        self._sums: list[FileSums] = []
        self.lookup = Lookup(self, client)

    def __enter__(self) -> Session:
        self.transaction = self.layers.begin()
        try:
            self._stack.enter_context(self.transaction)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            if self._workers is not None:
                self._workers.shutdown(cancel_futures=True)
            if self._warden is not None:
                self._warden.close()
            self.tidy()
        finally:
            if self._context is not None:
                self._context.close()
            self._resources.close()
            self._stack.__exit__(*exception)  # type: ignore[arg-type]  # what the with statement gave

    def check(self) -> None:
        """Raises ``Cancelled`` when there is no use in going on."""
        if self._cancelled:
            raise Cancelled("context canceled")

    def cancel(self) -> None:
        """Have threads that build stages give up: commands are killed, and no further step begins."""
        with self._lock:
            self._cancelled = True
            warden = self._warden
        if warden is not None:
            warden.close()

    def enter(self, resource: AbstractContextManager[_T]) -> _T:
        """Have something that lasts as long as the session."""
        return self._resources.enter_context(resource)

    def settings(self) -> Settings:
        """How to reach servers."""
        if self._settings is None:
            raise NotFound("this build fetches nothing from elsewhere")
        return self._settings()

    # Time

    def now(self) -> str:
        """The time for configurations and history."""
        if self.request.epoch is not None:
            return timestamp.text(self.request.epoch * timestamp.SECOND)
        return timestamp.now()

    def dated(self, key: str) -> str:
        """The key with the time that all files and texts get, where there is one."""
        epoch = self.request.epoch
        return key if epoch is None else digest_of(key, "epoch", epoch)

    # Parts

    @property
    def workers(self) -> ThreadPoolExecutor:
        """Threads for what is done beside the stages."""
        from concurrent.futures import ThreadPoolExecutor

        with self._lock:
            self.check()
            if self._workers is None:
                self._workers = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="lamina-build")
            return self._workers

    @property
    def warden(self) -> Warden:
        """What starts the build's containers; forked when it is first asked for."""
        return self.prepare()

    def prepare(self) -> Warden:
        """Fork the warden, unless that was done: better before there are threads, whose locks stay locked in it."""
        from lamina.builder.network import BuildNetwork  # most builds are cached and need neither
        from lamina.builder.warden import Warden

        with self._lock:
            self.check()
            if self._warden is None:
                network = BuildNetwork(self._networks(), self.root, self.new_id()) if self._networks else None
                self._warden = Warden((self.transaction.entry.descriptor,), network)
            return self._warden

    def place(self) -> Place:
        """Where a command on the default network is put: there is none where the host has or allows none."""
        place = self.warden.place()
        with self._lock:
            if place.problem and not self._told:
                self._told = True
                self.steps.warn(f"RUN has the host's network: {place.problem}")
        return place

    def agent(self, id: str) -> str | None:
        """The socket of the SSH agent that ``--ssh`` names; ``None`` when it names none."""
        source = self.request.agents.get(id)
        if source is None or isinstance(source, str):
            return source
        from lamina.builder import keyagent

        with self._starting_agent:
            if id not in self._agents:
                directory = self.root.sub("lamina", "run", self.new_id())
                self._resources.callback(remove_tree, directory)
                os.makedirs(directory, 0o700)
                self._agents[id] = keyagent.start(self.warden, directory, source, self.check)
            return self._agents[id]

    def context(self) -> Tree:
        """The build context. Raises ``InvalidArgument`` when there is none."""
        from lamina.builder.sources import NoContext

        with self._lock:
            if self._context is None:
                if not self.request.context:
                    raise NoContext("missing build context")
                sums = FileSums.forgetful()
                if self.request.remembered:
                    sums = FileSums.of_context(self.root, self.request.context)
                    self._sums.append(sums)
                self._context = Tree(self.request.context, owned=False, sums=sums, ignored=self.request.ignored)
            return self._context

    def new_id(self) -> str:
        """An id that the journal accounts for."""
        return self.transaction.entry.new_id()

    def sweep(self, remove: Callable[[], None]) -> None:
        """Have something removed when there is time: while a command runs, at the latest when the session ends."""
        self._garbage.append(remove)

    def tidy(self) -> None:
        """Remove what waits for it."""
        while True:
            try:
                remove = self._garbage.pop()
            except IndexError:  # another thread may have had the last
                return
            remove()

    # Layers

    def base(self, image: Image) -> Layer | None:
        """An image's top layer, kept while the build lasts. Raises ``LayerNotFound``."""
        with self._lock:
            return self.transaction.hold(image.config.chain_id)

    def hold(self, chain: ChainID) -> Layer | None:
        """A layer that exists, kept while the build lasts; ``None`` when there is none."""
        try:
            with self._lock:
                return self.transaction.hold(chain)
        except LayerNotFound:
            return None

    def stage_layer(self, parent: AnyLayer | None) -> Staged:
        below = self.lookup.near(parent)
        with self._lock:
            return self.transaction.stage(below)

    def move(self, staged: Staged, parent: AnyLayer | None) -> None:
        """Put a finished layer that was staged on nothing onto ``parent``."""
        below = self.lookup.near(parent)
        with self._lock:
            self.transaction.move(staged, below)

    def drop(self, staged: Staged) -> None:
        with self._lock:
            self.transaction.drop(staged)

    @contextmanager
    def view(self, layer: AnyLayer | None) -> Iterator[str]:
        """The files of a stack, read-only, as long as the context lasts; its layers may be in the making."""
        here = self.lookup.near(layer)
        with self._lock:
            view = self.transaction.view(here)
        with view as path:
            yield path

    def publish(self) -> None:
        """Make every finished layer permanent, and the cache know what was done. Once per build."""
        with self._lock:
            self.transaction.commit()
            self.lookup.publish()
            for sums in self._sums:
                sums.save()

    @contextmanager
    def step(self, name: str) -> Iterator[StepProgress]:
        """Tell of one step: begun, done or failed."""
        self.check()
        with self.steps.step(name) as progress:
            try:
                yield progress
            except LaminaError as error:
                if self._cancelled:
                    raise Cancelled("context canceled") from error  # that is why its command was killed
                raise
