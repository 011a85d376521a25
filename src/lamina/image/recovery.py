"""What interrupted operations left: images that were half made or half removed, and layers that no image got.

An image that an interrupted operation was making has no name yet, one that it was removing has none any more: either
way it goes. With a name, or with something that stands on it, it stays.
"""

from __future__ import annotations

import os

from lamina import atomicfile
from lamina.digest import ImageID, InvalidDigest
from lamina.errors import Corrupt, LaminaError, NotFound
from lamina.filelock import FileLock
from lamina.graphdriver.removal import remove_tree
from lamina.image.database import UnreadableImage
from lamina.image.store import IMAGE_NOTE, FileImageStore
from lamina.layer.database import UnreadableLayer, list_directory
from lamina.layer.journal import Entry
from lamina.layer.writable import CONTAINER_NOTE


def recover(store: FileImageStore) -> bool:
    """Reclaim what all dead journal entries account for; whether images may be gone for it.

    Running operations are not disturbed. What can't be deleted stays in the journal, where the check of the root finds
    it, and stops nobody.
    """
    dead = store.layers.dead_entries()
    concerned = False
    try:
        entries = [entry for entry in dead if _reclaim(store, entry)]
        if any(_concerns_images(entry) for entry in entries):
            with store.lock():
                for entry in entries:
                    for hexpart in entry.notes(IMAGE_NOTE):
                        _remove_nameless(store, hexpart)
                sweep(store)
                store.layers.release(store.needed_layers())
            concerned = True
        for entry in entries:
            entry.close()
    except (UnreadableImage, UnreadableLayer):
        pass  # what is not needed can't be told: next time
    finally:
        for entry in dead:
            entry.abandon()
    store.layers.workshop.trash.empty()
    return concerned


def _reclaim(store: FileImageStore, entry: Entry) -> bool:
    """Remove what a dead entry accounts for; else it stays, and this is ``False``."""
    try:
        store.layers.reclaim(entry)
    except (OSError, LaminaError):
        entry.abandon()
        return False
    return True


def sweep(store: FileImageStore) -> None:
    """Remove metadata of images that do not exist, and files that were being written. The caller holds the lock."""
    for path in ownerless(store):
        remove_tree(path)
    for path in leftovers(store):
        atomicfile.is_leftover(path, remove=True)
    locks = store.root.sub("lamina/locks/layers")
    for name in list_directory(locks):
        lock = FileLock(f"{locks}/{name}")
        if lock.acquire(wait=False):
            lock.release()


def ownerless(store: FileImageStore) -> list[str]:
    """Absolute paths of metadata of images that do not exist."""
    database = store.database
    images = frozenset(database.hexes())
    return [f"{database.metadata}/{name}" for name in sorted(database.metadata_hexes()) if name not in images]


def leftovers(store: FileImageStore) -> list[str]:
    """Absolute paths of files whose writer died: in the stores, among our own files, beside the driver's layers."""
    home = store.layers.driver.home
    found = [
        path for name in ("", "parent") for path in _dead_files(f"{home}/{name}", list_directory(f"{home}/{name}"))
    ]
    for top in (store.root.store(), store.root.sub("lamina")):
        for directory, directories, names in os.walk(top):
            if os.path.basename(directory) in ("layerdb", "trash"):
                directories.clear()
                continue
            found += _dead_files(directory, names)
    return found


def _dead_files(directory: str, names: list[str]) -> list[str]:
    paths = [f"{directory.rstrip('/')}/{name}" for name in names if name.startswith(atomicfile.TEMPORARY_PREFIX)]
    return [path for path in paths if atomicfile.is_leftover(path)]


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
