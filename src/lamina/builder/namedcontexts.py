"""``--build-context NAME=VALUE``: what a name means in ``FROM``, ``--from`` and mounts instead of a stage or an image.

Values are a directory, ``docker-image://name``, ``oci-layout://path:tag@digest``, ``target:stage``, and URLs of tars
and of git repositories, as for the build context itself.
"""

from __future__ import annotations

import os
from _thread import allocate_lock
from collections.abc import Mapping

from lamina.builder.progress import Steps
from lamina.builder.session import Session
from lamina.builder.sources import Images
from lamina.errors import InvalidArgument, NotFound
from lamina.image.contract import Image
from lamina.typing import NamedTuple

_IMAGE = "docker-image://"
_LAYOUT = "oci-layout://"
_TARGET = "target:"


class NamedContext(NamedTuple):
    """What a name means: an image, or a directory on the host."""

    image: Image | None
    directory: str = ""


def key_of(name: str) -> str:
    """Names that mean the same have the same key."""
    return name.lower().removesuffix(":latest")


def is_local(value: str) -> bool:
    """Whether a value is the path of a directory."""
    from lamina.builder.context import is_remote

    return not value.startswith((_IMAGE, _LAYOUT, _TARGET)) and not is_remote(value)


def targets(values: Mapping[str, str]) -> dict[str, str]:
    """The stages that names stand for."""
    return {key_of(name): value.removeprefix(_TARGET) for name, value in values.items() if value.startswith(_TARGET)}


class NamedContexts:
    """Those of one build, each fetched once, when something asks for it. Thread-safe."""

    def __init__(self, session: Session, images: Images) -> None:
        self._session = session
        self._images = images
        self._values = {key_of(name): value for name, value in session.request.contexts.items()}
        self._lock = allocate_lock()
        self._known: dict[str, NamedContext] = {}

    @property
    def replaced(self) -> set[str]:
        """Keys of names that are no stages any more."""
        return {key for key, value in self._values.items() if not value.startswith(_TARGET)}

    def get(self, name: str) -> NamedContext | None:
        """What a name means; ``None`` when nothing is said about it.

        :raises NotFound: it means something that is not there.
        """
        key = key_of(name)
        value = self._values.get(key)
        if value is None or value.startswith(_TARGET):
            return None
        with self._lock:
            if key not in self._known:
                self._known[key] = self._found(name, value)
            return self._known[key]

    def _found(self, name: str, value: str) -> NamedContext:
        if value.startswith(_IMAGE):
            return NamedContext(self._images.get(value.removeprefix(_IMAGE)))
        if value.startswith(_LAYOUT):
            return NamedContext(self._layout(name, value.removeprefix(_LAYOUT)))
        if is_local(value):
            return NamedContext(None, value)
        return NamedContext(None, self._fetched(name, value))

    def _layout(self, name: str, value: str) -> Image:
        """An image of a layout on this host."""
        from lamina.distribution.load import load_layout
        from lamina.distribution.stores import Stores

        path, _, digest = value.partition("@")
        tag = ""
        if not os.path.isdir(path):
            path, _, tag = path.rpartition(":")
        if not os.path.isdir(path):
            raise NotFound(f"context {name}: no OCI layout at {value}")
        session = self._session
        stores = Stores(session.root, session.layers, session.images)
        with session.step(f"[context {name}] {_LAYOUT}{value}"):
            return session.images.get(load_layout(path, stores, tag=tag, digest=digest, platform=session.platform))

    def _fetched(self, name: str, value: str) -> str:
        """A directory with what is elsewhere."""
        from lamina.builder import remotecontext

        session = self._session
        surroundings = remotecontext.Surroundings(session.settings, session.request.arguments)
        with session.step(f"[context {name}] {value}"):
            context = session.enter(remotecontext.opened(session.layers, value, surroundings, Steps(), dockerfile=None))
        if not context.path:
            raise InvalidArgument(f"context {name}: {value} is neither a tar nor a git repository")
        return context.path
