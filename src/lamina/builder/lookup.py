"""What a build knows of steps that were done before: here, and in the caches of ``--cache-from``."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from lamina.builder.cache import BuildCache, Pick, Step
from lamina.builder.distant import AnyLayer, Distant, DistantImage, Workshop, fetch, lowest, near
from lamina.builder.progress import Steps
from lamina.builder.request import BuildRequest
from lamina.builder.stage import StageState
from lamina.dataroot import DataRoot
from lamina.errors import LaminaError
from lamina.image.contract import ImageStore
from lamina.layer.contract import Layer
from lamina.layer.staged import Staged
from lamina.oci.platform import Platform
from lamina.typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from lamina.builder.cacheimport import Lender
    from lamina.registry.client import RegistryClient


class Hit(NamedTuple):
    """A step that need not be done, and the layer on top after it."""

    step: Step
    layer: AnyLayer | None


class Surroundings(Workshop, Protocol):
    """What of a build's session a lookup needs."""

    @property
    def root(self) -> DataRoot: ...
    @property
    def images(self) -> ImageStore: ...
    @property
    def request(self) -> BuildRequest: ...
    @property
    def steps(self) -> Steps: ...
    @property
    def platform(self) -> Platform: ...
    def dated(self, key: str) -> str: ...


class Lookup:
    """The caches of one build. Thread-safe."""

    def __init__(self, session: Surroundings, client: Callable[[], RegistryClient] | None) -> None:
        self._session = session
        self._client = client
        self._cache = BuildCache(session.root)
        self._lenders: list[Lender] | None = None
        self._opening = Lock()
        self._fetching = Lock()
        self._made: list[tuple[AnyLayer | None, Step]] = []
        #: What sources of ``COPY --from`` turned out to be, for a cache that is exported.
        self.picks: dict[str, Pick] = {}

    def find(self, state: StageState, key: str, created_by: str) -> Hit | None:
        """The step ``key``, which follows ``state``. A layer that is here stays while the build lasts."""
        if self._session.request.no_cache:
            return None
        step = self._cache.get(key)
        # One of which the steps before were done once more since, with another result, is none of this stack's.
        if step is not None and step.fits(state.chain):
            if step.diff_id is None:
                return Hit(step, state.layer)
            assert step.chain is not None
            layer = self._session.hold(step.chain)
            if layer is not None:
                return Hit(step, layer)
        return self._borrowed(state, key, created_by)

    def apart(self, key: str) -> tuple[Step, Layer] | None:
        """The step ``key``, whose layer is right on any other, and that layer, which stays while the build lasts."""
        step = None if self._session.request.no_cache else self._cache.get(self._session.dated(key))
        if step is None or step.chain is None or step.diff_id is None:
            return None
        layer = self._session.hold(step.chain)
        return (step, layer) if layer is not None else None

    def _borrowed(self, state: StageState, key: str, created_by: str) -> Hit | None:
        for lender in self._opened():
            lent = lender.lend(state, key, created_by)
            if lent is None:
                continue
            step = lent.step
            layer: AnyLayer | None = state.layer
            if step.diff_id is not None:
                assert step.chain is not None
                layer = self._session.hold(step.chain)
                if layer is None and lent.blob is not None:
                    layer = Distant(state.layer, step.diff_id, step.chain, lent.blob)
                if layer is None:
                    continue
            self.remember(layer, step)
            return Hit(step, layer)
        return None

    def _opened(self) -> list[Lender]:
        """The caches of ``--cache-from``, opened when they are first asked; one that can't be is left out."""
        wanted = self._session.request.cache_from
        if not wanted:
            return []
        with self._opening:
            if self._lenders is None:
                from lamina.builder.cacheimport import open_lender

                self._lenders = []
                for one in wanted:
                    name = f"importing cache from {one}"
                    try:
                        with self._session.steps.step(name):
                            lender = open_lender(one, self._session.images, self._client, self._session.platform)
                        self._lenders.append(lender)
                    except (LaminaError, OSError) as error:
                        self._session.steps.warn(f"[Warning] {name}: {error}")
        return self._lenders

    # Sources of COPY --from

    def pick(self, key: str) -> Pick | None:
        """What sources in layers that can't change are, when that is known."""
        if self._session.request.no_cache:
            return None
        found = self._cache.pick(key)
        if found is None:
            found = next((pick for lender in self._opened() if (pick := lender.pick(key)) is not None), None)
        if found is not None:
            self.picks[key] = found
        return found

    def put_pick(self, key: str, pick: Pick) -> None:
        """Remember what was found out."""
        self.picks[key] = pick
        self._cache.put_pick(key, pick)

    # Layers

    def near(self, layer: AnyLayer | None) -> Layer | Staged | None:
        """The layer with its files here."""
        base = lowest(layer)
        if isinstance(base, DistantImage):
            base.pull(self._session.steps)
        if not isinstance(layer, Distant):
            return near(layer)
        with self._fetching:
            if layer.near is None:
                with self._session.steps.step(f"fetching cached layers up to {layer.blob.descriptor.digest}"):
                    return fetch(layer, self._session)
            return layer.near

    def remember(self, layer: AnyLayer | None, step: Step) -> None:
        """Add a step to the cache once its layers exist."""
        self._made.append((layer, step))

    def publish(self) -> None:
        """Write down what was done; its layers exist now. Steps whose layers have stayed elsewhere stay there too."""
        for layer, step in self._made:
            here = near(layer)
            if here is not None or layer is None:
                self._cache.put(step._replace(chain=here.chain_id if here is not None else None))
        self._made.clear()
