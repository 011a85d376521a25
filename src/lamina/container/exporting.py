"""``docker export``: a container's whole file system as one tar."""

from __future__ import annotations

from collections.abc import Iterator

from lamina import events
from lamina.container import opening, treetar
from lamina.container.parts import Parts
from lamina.tarball.writer import archive


def export(parts: Parts, container_id: str) -> Iterator[bytes]:
    """The archive. Volumes are left out; where they are mounted the image's own directory shows."""
    with opening.without_volumes(parts, container_id) as (container, root):
        yield from archive(treetar.entries(root, b".", b"", parts.root.owners))
    events.note(parts.root, container, "export")
