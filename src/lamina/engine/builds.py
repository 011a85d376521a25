"""The Python API for builds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.builder import progress
from lamina.builder.build import build
from lamina.builder.request import BuildRequest, BuildResult
from lamina.image.contract import Image
from lamina.oci.platform import Platform
from lamina.progress import ignore
from lamina.reference import Reference

if TYPE_CHECKING:
    from lamina.engine import Engine


class Builds:
    """Builds images on one data root."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def run(self, request: BuildRequest, report: progress.StepReport = progress.ignore) -> BuildResult:
        """Build; base images that are not here are pulled. Raises as :func:`lamina.builder.build.build`."""
        engine = self._engine
        return build(engine.root, engine.layers, engine.image_store, request, fetch=self._fetch, report=report)

    def _fetch(self, reference: Reference, platform: Platform | None) -> Image:
        from lamina.distribution.pull import pull

        engine = self._engine
        results = pull(reference, engine.stores, engine.registry, platform=platform, report=ignore)
        return engine.image_store.get(results[0].image_id)
