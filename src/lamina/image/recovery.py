"""What interrupted operations left: images that were half made or half removed, and layers that no image got.

An image that an interrupted operation was making has no name yet, one that it was removing has none any more: either
way it goes. With a name, or with something that stands on it, it stays.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lamina.atomicfile import TEMPORARY_PREFIX
from lamina.digest import ImageID, InvalidDigest
from lamina.errors import Corrupt, NotFound
from lamina.graphdriver.removal import remove_tree
from lamina.layer.journal import Entry
from lamina.layer.writable import CONTAINER_NOTE

if TYPE_CHECKING:
    from lamina.image.store import FileImageStore

#: Kind of a note in the journal: an image that is being made or removed, by the hex part of its ID.
IMAGE_NOTE = "image"


def recover(store: FileImageStore) -> None:
    """Reclaim what all dead journal entries account for. Running operations are not disturbed."""
    entries = store.layers.dead_entries()
    try:
        for entry in entries:
            store.layers.reclaim(entry)
        if any(_concerns_images(entry) for entry in entries):
            with store.lock():
                for entry in entries:
                    for hexpart in entry.notes(IMAGE_NOTE):
                        _remove_nameless(store, hexpart)
                sweep(store)
                store.layers.release(store.needed_layers())
    except BaseException:
        for entry in entries:
            entry.abandon()
        raise
    for entry in entries:
        entry.close()
    store.layers.workshop.trash.empty()


def sweep(store: FileImageStore) -> None:
    """Remove metadata of images that do not exist, and files that were being written. The caller holds the lock."""
    for path in debris(store):
        remove_tree(path)


def debris(store: FileImageStore) -> list[str]:
    """Absolute paths of what a crash leaves in the image store: none of it is part of an image."""
    database = store.database
    images = frozenset(database.hexes())
    found = [f"{database.metadata}/{name}" for name in database.metadata_hexes() if name not in images]
    directories = [database.content, os.path.dirname(store.repositories.path)]
    directories += [f"{database.metadata}/{name}" for name in database.metadata_hexes() if name in images]
    for directory in directories:
        found += [f"{directory}/{name}" for name in _listed(directory) if name.startswith(TEMPORARY_PREFIX)]
    return found


def _concerns_images(entry: Entry) -> bool:
    """Whether layers or images may be left: not when all that the operation did was to make or remove a container."""
    return bool(entry.notes(IMAGE_NOTE)) or not entry.notes(CONTAINER_NOTE)


def _remove_nameless(store: FileImageStore, hexpart: str) -> None:
    try:
        id = ImageID(f"sha256:{hexpart}")
        image = store.get(id)
    except (InvalidDigest, NotFound, Corrupt):
        return
    if store.references.of(id) or store.children(id) or _is_used(store, image.config.chain_id):
        return
    store.database.remove(id)
    remove_tree(store.database.metadata_path(id))


def _is_used(store: FileImageStore, top: object) -> bool:
    """Whether a container stands on the same layers; whose image it is can't be told from here."""
    for container_id in store.layers.writables():
        try:
            if store.layers.writable(container_id).parent == top:
                return True
        except (Corrupt, NotFound):
            continue
    return False


def _listed(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except FileNotFoundError:
        return []
