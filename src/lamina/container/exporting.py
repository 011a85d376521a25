"""``docker export``: a container's whole file system as one tar."""

from __future__ import annotations

import os
from collections.abc import Iterator

from lamina import events
from lamina.container import opening, rootfs, treetar
from lamina.container.parts import Parts
from lamina.tarball.writer import archive


def export(parts: Parts, container_id: str) -> Iterator[bytes]:
    """The archive. Volumes are left out; where they are mounted the image's own directory shows."""
    with opening.mounted(parts, container_id) as merged:
        root = rootfs.open_root(merged)
        try:
            yield from archive(treetar.entries(root, b".", b"", parts.root.owners))
        finally:
            os.close(root)
    events.note(parts.root, parts.store.load(container_id), "export")
