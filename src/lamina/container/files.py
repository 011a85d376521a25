"""What is done with containers' files: ``commit``, ``export``, ``cp``; apart from the service for its start-up time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lamina.container import committing, copying, exporting
from lamina.container.committing import CommitRequest
from lamina.container.copying import Place
from lamina.container.service import ContainerService
from lamina.container.treetar import Entry
from lamina.image.contract import Image

__all__ = ["CommitRequest", "ContainerFiles", "Place"]


class ContainerFiles:
    """Files of the containers of one service, named as a user types them."""

    def __init__(self, service: ContainerService) -> None:
        self._service = service
        self._parts = service.parts

    def commit(self, text: str, request: CommitRequest) -> Image:
        """An image of the container's changes; see :func:`lamina.container.committing.commit`."""
        return committing.commit(self._parts, self._service.get(text), request)

    def export(self, text: str) -> Iterator[bytes]:
        """Its whole file system as a tar, without volumes."""
        return exporting.export(self._parts, self._service.id_of(text))

    def copy_from(self, text: str, path: bytes, destination: Place, *, follow: bool = False) -> None:
        """``docker cp CONTAINER:PATH DESTINATION``."""
        copying.copy_from(self._parts, self._service.get(text), text, path, destination, follow=follow)

    def copy_to(self, text: str, path: bytes, source: Place) -> None:
        """``docker cp SOURCE CONTAINER:PATH``."""
        copying.copy_to(self._parts, self._service.get(text), text, path, source)

    def archive(self, text: str, path: bytes, *, follow: bool = False) -> Iterator[Entry]:
        """Entries of a tar of ``path``."""
        return copying.archive(self._parts, self._service.get(text), text, path, follow=follow)

    def extract_to(self, text: str, path: bytes, stream: Iterable[bytes]) -> None:
        """A tar stream, compressed or not, into the directory ``path``."""
        copying.extract_to(self._parts, self._service.get(text), text, path, stream)
