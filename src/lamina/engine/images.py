"""The Python API for images."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from lamina import reference as references
from lamina.contextlib import AbstractContextManager
from lamina.digest import ImageID
from lamina.engine.operation import Operation
from lamina.image.contract import Image as Record
from lamina.oci import platform as platforms
from lamina.typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lamina.distribution.load import LoadedImage
    from lamina.distribution.push import PushResult
    from lamina.engine import Engine
    from lamina.image.contract import ContainerUse
    from lamina.image.history import HistoryRow
    from lamina.image.prune import Pruned
    from lamina.image.removal import Removed
    from lamina.layer.contract import Layer
    from lamina.progress import Report


class Image:
    """One image as it was when it was asked for. Two are equal when their IDs are."""

    __slots__ = ("_engine", "record")

    def __init__(self, engine: Engine, record: Record) -> None:
        self._engine = engine
        self.record = record

    def __repr__(self) -> str:
        return f"<Image {self.short_id} {' '.join(self.tags)}>".replace(" >", ">")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Image) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def id(self) -> ImageID:
        """``sha256:...``, the digest of the configuration."""
        return self.record.id

    @property
    def short_id(self) -> str:
        """The first 12 digits, as lists show them."""
        return self.id.hex[:12]

    @property
    def tags(self) -> list[str]:
        """Names that point at it now, as Docker prints them: ``nginx:latest``."""
        return [name.familiar for name in self._engine.image_store.references.of(self.id) if name.digest is None]

    @property
    def digests(self) -> list[str]:
        """``nginx@sha256:...`` for each manifest that it came or went with."""
        return [f"{name}@{digest}" for name, digest in self._engine.image_store.digests(self.id)]

    @property
    def created(self) -> str:
        """RFC 3339 text."""
        return self.record.config.created

    @property
    def config(self) -> dict[str, Any]:
        """The execution parameters: ``Env``, ``Cmd``, ``Entrypoint``, ``Labels``, ..."""
        return self.record.config.config

    @property
    def layers(self) -> list[Layer]:
        """Its layers, bottom first."""
        return self._engine.layers.stack(self.record.config.chain_id)

    @property
    def size(self) -> int:
        """Bytes of the files in all its layers."""
        return self._engine.image_store.size(self.record)

    def history(self) -> list[HistoryRow]:
        """Its build steps, newest first, as ``docker history`` lists them."""
        from lamina.image.history import history

        return history(self._engine.image_store, self.record)

    def mount(self) -> AbstractContextManager[str]:
        """Its files, read-only, at a path that is valid inside the ``with`` block."""
        return self._engine.layers.mounted_image(self.record.config.chain_id)

    def tag(self, name: str) -> None:
        """Point ``name`` (``:latest`` when it has no tag) at this image."""
        self._engine.images.tag(self.id, name)

    def save(self, target: str | os.PathLike[str] | IO[bytes], *, format: str = "docker") -> Operation[None]:
        """Write an archive of it; see :meth:`Images.save`."""
        return self._engine.images.save([self.tags[0] if self.tags else self.id], target, format=format)

    def push(self, name: str | None = None) -> Operation[list[PushResult]]:
        """Push it under ``name``, which must point at it; by default under its first tag."""
        return self._engine.images.push(name if name is not None else self.tags[0])

    def remove(self, *, force: bool = False) -> list[Removed]:
        """Remove it with all its names when ``force`` is given, else as :meth:`Images.remove` does by ID."""
        return self._engine.images.remove(self.id, force=force)


class Images:
    """Images of one data root. Iterating gives all of them in no particular order."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __iter__(self) -> Iterator[Image]:
        for record in self._engine.image_store.all():
            yield Image(self._engine, record)

    def get(self, name: str) -> Image:
        """The image that ``name`` means: a reference, an ID, or an unambiguous prefix of one.

        Raises ``NotFound``.
        """
        return Image(self._engine, self._engine.image_store.resolve(name))

    def pull(self, name: str, *, platform: str | None = None) -> Operation[Image]:
        """Fetch ``name`` (``:latest`` when it has neither tag nor digest) from its registry.

        :param platform: ``linux/arm64`` and the like. Default: this host's.
        """
        wanted = references.parse_tagged(name)
        chosen = platforms.from_text(platform) if platform else None

        def work(report: Report) -> Image:
            from lamina.distribution.pull import pull

            engine = self._engine
            results = pull(wanted, engine.stores, engine.registry, platform=chosen, report=report)
            return Image(engine, engine.image_store.get(results[0].image_id))

        return Operation(work)

    def push(self, name: str, *, all_tags: bool = False) -> Operation[list[PushResult]]:
        """Send ``name``, or all tags of its repository, to its registry."""
        wanted = references.parse(name) if all_tags else references.parse_tagged(name)

        def work(report: Report) -> list[PushResult]:
            from lamina.distribution.push import push

            return push(wanted, self._engine.stores, self._engine.registry, all_tags=all_tags, report=report)

        return Operation(work)

    def load(self, source: str | os.PathLike[str] | IO[bytes]) -> Operation[list[LoadedImage]]:
        """Read a Docker archive, an OCI archive or an OCI layout: a path, or a binary file that need not seek."""

        def work(report: Report) -> list[LoadedImage]:
            from lamina.distribution.load import load

            origin = os.fspath(source) if isinstance(source, (str, os.PathLike)) else source
            return load(origin, self._engine.stores, report=report)

        return Operation(work)

    def save(
        self, names: Iterable[str], target: str | os.PathLike[str] | IO[bytes], *, format: str = "docker"
    ) -> Operation[None]:
        """Write images to an archive.

        :param target: a path that is replaced whole, or a binary file.
        :param format: ``docker``, or ``oci``.
        """
        wanted = list(names)

        def work(report: Report) -> None:
            from lamina.distribution.save import save

            destination = os.fspath(target) if isinstance(target, (str, os.PathLike)) else target
            save(wanted, self._engine.stores, destination, format=format, report=report)

        return Operation(work)

    def tag(self, source: str, target: str) -> None:
        """Point ``target`` at the image that ``source`` means, as ``docker tag``: its ``LastTagTime`` is now."""
        store = self._engine.image_store
        name = references.parse_tagged(target)
        with store.lock():
            id = store.resolve(source).id
            store.tag(id, name)

    def remove(self, name: str, *, force: bool = False, prune: bool = True) -> list[Removed]:
        """``docker rmi``: take the name away, and the image with its last name.

        :param force: also when the image has other names or a stopped container.
        :param prune: remove parents that nothing needs any more.
        """
        from lamina.distribution import originals
        from lamina.image.removal import remove

        engine = self._engine
        with engine.layers.operation():
            removed = remove(engine.image_store, engine.layers, name, force=force, prune=prune, in_use=self._in_use)
            originals.prune(engine.stores)
        return removed

    def prune(self, *, all: bool = False, filters: dict[str, list[str]] | None = None) -> Pruned:
        """Remove images without a name, or with ``all`` every image that no container uses."""
        from lamina.distribution import originals
        from lamina.image.prune import prune

        engine = self._engine
        with engine.layers.operation():
            pruned = prune(engine.image_store, engine.layers, all=all, filters=filters or {}, in_use=self._in_use)
            originals.prune(engine.stores)
        return pruned

    def _in_use(self) -> Iterator[ContainerUse]:
        """What containers use; where there are none nothing about them is loaded."""
        from lamina.container.store import ContainerStore

        return self._engine.container_service.image_uses() if ContainerStore(self._engine.root).ids() else iter(())
