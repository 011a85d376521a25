"""What is in a writable layer and what a layer adds: changes, their tar, sizes."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from lamina.graphdriver.contract import DiffForm
from lamina.layer import difference
from lamina.layer.changes import overlay_changes, snapshot_changes
from lamina.layer.contract import Change, Layer, MountedLayer
from lamina.layer.database import TAR_SPLIT
from lamina.layer.sizes import directory_size
from lamina.layer.unionchanges import union_changes
from lamina.layer.workshop import Workshop
from lamina.tarball import tarsplit
from lamina.unionfs.options import Dialect, MountOptions


def changes(workshop: Workshop, mounted: MountedLayer) -> list[Change]:
    """What ``docker diff`` lists: what a writable layer changes in what is below it, its ``-init`` layer included."""
    driver = workshop.driver
    directory, below = driver.diff_path(mounted.mount_id), _below(workshop, mounted)
    if driver.form is DiffForm.OVERLAY:
        return overlay_changes(directory, below)
    if driver.form is DiffForm.AUFS:
        return union_changes(MountOptions(tuple(below), directory, dialect=Dialect.AUFS))
    return snapshot_changes(directory, below[0] if below else None)


def writable_tar(workshop: Workshop, mounted: MountedLayer) -> Iterator[bytes]:
    """A writable layer as a layer tar."""
    driver = workshop.driver
    directory = driver.diff_path(mounted.mount_id)
    if driver.form is not DiffForm.SNAPSHOT:
        return difference.upper_tar(directory, driver.form, driver.owners)
    below = _below(workshop, mounted)
    return difference.snapshot_tar(directory, below[0] if below else None, driver.owners)


def _below(workshop: Workshop, mounted: MountedLayer) -> list[str]:
    """Directories of the layers below a writable layer, nearest first."""
    return [workshop.driver.diff_path(id) for id in workshop.driver.parent_ids(mounted.mount_id)]


def writable_size(workshop: Workshop, mounted: MountedLayer) -> int:
    """Bytes of what is in a writable layer, as Docker counts: regular files and links, each inode once."""
    directory = workshop.driver.diff_path(mounted.mount_id)
    if workshop.driver.form is not DiffForm.SNAPSHOT:
        return directory_size(directory)
    changed = [change.path for change in changes(workshop, mounted) if change.kind != "D"]
    statuses = [os.lstat(os.fsencode(directory) + path) for path in changed]
    return sum(status.st_size for status in statuses if not stat.S_ISDIR(status.st_mode))


def content_size(workshop: Workshop, layer: Layer) -> int:
    """Bytes of what a layer adds, as Docker counts them."""
    if workshop.driver.form is not DiffForm.SNAPSHOT:
        return directory_size(workshop.driver.diff_path(layer.cache_id))
    return sum(entry.size for entry in tarsplit.read(f"{workshop.database.path(layer.chain_id)}/{TAR_SPLIT}"))
