"""What the container service works on."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from lamina.container.rundirectory import RunDirectory
from lamina.container.store import ContainerStore
from lamina.dataroot import DataRoot
from lamina.graphdriver.choice import open_driver
from lamina.image.contract import ImageStore
from lamina.layer.store import FileLayerStore
from lamina.runtime import program
from lamina.runtime.program import RuntimeProgram


class Volume(Protocol):
    """A volume, as far as a container cares."""

    @property
    def name(self) -> str: ...

    @property
    def path(self) -> str: ...


class Volumes(Protocol):
    """The volume store, as far as a container cares."""

    def create(
        self, name: str = "", *, labels: dict[str, str] | None = None, options: dict[str, str] | None = None
    ) -> tuple[Volume, bool]:
        """The volume ``name`` (a new anonymous one for ``""``) and whether it was made now."""

    def get(self, name: str) -> Volume:
        """Raises ``NotFound``."""

    def remove(self, name: str, users: list[str]) -> None: ...

    def on(self, root: DataRoot) -> Volumes:
        """The volume store of another :class:`DataRoot` object."""


class Parts(NamedTuple):
    """One data root's stores, and the way to a fresh set of them.

    :ivar open_volumes: the volume store of a data root.
    """

    root: DataRoot
    layers: FileLayerStore
    images: ImageStore
    store: ContainerStore
    open_volumes: Callable[[DataRoot], Volumes]

    @property
    def volumes(self) -> Volumes:
        return self.open_volumes(self.root)

    def run_directory(self, container_id: str) -> RunDirectory:
        return RunDirectory(self.root.sub("lamina", "run", container_id))

    def runtime(self) -> RuntimeProgram:
        """The runtime to use. ``HostConfig.Runtime`` says ``runc`` in every container that names none: it is what a
        dockerd on the same root calls its default, and means no more than that."""
        return program.find()

    def reopened(self) -> Parts:
        """The same for a forked child: nothing that another thread of the parent had locked or open."""
        root = DataRoot.open(self.root.path)
        driver = open_driver(root.path, self.layers.driver.name)
        return self._replace(root=root, layers=FileLayerStore(root, driver), store=ContainerStore(root))
