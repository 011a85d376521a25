"""The Python API for builds."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from lamina.builder.build import build, seen_waste
from lamina.builder.progress import StepProgress, StepReport, Steps
from lamina.builder.progress import ignore as ignore_steps
from lamina.builder.request import BuildRequest, BuildResult
from lamina.oci.platform import Platform
from lamina.progress import Event, Report
from lamina.reference import Reference
from lamina.typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from lamina.builder.job import CommandFailed
    from lamina.builder.verifying import Difference
    from lamina.builder.wasting import Waste
    from lamina.distribution.pull import Offer
    from lamina.distribution.push import PushResult
    from lamina.engine import Engine


class Verified(NamedTuple):
    """Two builds of the same. ``differences`` is empty when they gave the same image."""

    first: BuildResult
    second: BuildResult
    differences: tuple[Difference, ...]


class Builds:
    """Builds images on one data root."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def run(
        self,
        request: BuildRequest,
        report: StepReport | Steps = ignore_steps,
        failed: Callable[[CommandFailed], None] | None = None,
    ) -> BuildResult:
        """Build; base images that are not here are pulled. See :func:`lamina.builder.build.build`."""
        engine = self._engine
        steps = report if isinstance(report, Steps) else Steps(report)
        return build(
            engine.root,
            engine.layers,
            engine.image_store,
            request,
            fetch=self._fetch,
            steps=steps,
            settings=lambda: engine.registry.settings,
            client=lambda: engine.registry,
            networks=lambda: engine.networks,
            configuration=engine.configuration,
            failed=failed,
        )

    def verify(self, request: BuildRequest, report: StepReport | Steps = ignore_steps) -> Verified:
        """Build twice without cache; when both are the same, the image gets its names and goes to the caches."""
        from lamina.builder.verifying import differences

        steps = report if isinstance(report, Steps) else Steps(report)
        alone = request._replace(no_cache=True, tags=(), cache_to=())
        first, second = self.run(alone, steps), self.run(alone, steps)
        found = tuple(differences(first.image, second.image, self._engine.layers))
        if not found:
            first = self.run(request._replace(no_cache=False), steps)
        return Verified(first, second, found)

    def seen_waste(self, request: BuildRequest) -> tuple[Waste, ...]:
        """What wastes space in what ``request`` builds, if that was built before.

        Raises as :func:`lamina.builder.build.seen_waste`.
        """
        engine = self._engine
        return seen_waste(engine.root, engine.layers, engine.image_store, request)

    def push(self, names: Iterable[Reference], report: StepReport | Steps = ignore_steps) -> list[PushResult]:
        """Send an image to the registries of its names, a step for each."""
        from lamina.distribution.push import push

        engine = self._engine
        steps = report if isinstance(report, Steps) else Steps(report)
        pushed = []
        for name in names:
            with steps.step(f"pushing {name.tagged().familiar}") as progress:
                pushed += push(name.tagged(), engine.stores, engine.registry, report=_lines(progress))
        return pushed

    def _fetch(self, reference: Reference, platform: Platform | None) -> Offer:
        from lamina.distribution.pull import offer

        return offer(reference, self._engine.stores, self._engine.registry, platform=platform)


def _lines(progress: StepProgress) -> Report:
    """An operation's changes of state as the output of a step."""

    def report(event: Event) -> None:
        if event.status and not (event.current or event.total):
            text = f"{event.id}: {event.status}" if event.id else event.status
            progress.output(f"{text}\n".encode())

    return report
