"""Whose the directories of the graph driver are, when metadata that should say so is damaged."""

from __future__ import annotations

import os

from lamina import atomicfile
from lamina.errors import LaminaError
from lamina.graphdriver.removal import remove_tree
from lamina.layer.buildcache import BuildCache
from lamina.layer.database import (
    INIT,
    DamagedLayer,
    LayerNotFound,
    MountNotFound,
    driver_ids_in,
    list_directory,
)
from lamina.layer.liveness import Running
from lamina.layer.workshop import Workshop


def homeless(workshop: Workshop) -> list[str]:
    """Layers and containers that do not say where their content is: nothing that might be theirs may be deleted."""
    database = workshop.database
    found = []
    for chain in database.chain_ids():
        try:
            database.cache_id(chain)
        except LayerNotFound:
            continue
        except DamagedLayer:
            found.append(f"layer {chain}")
    writable = frozenset(database.containers())
    for container_id in {*writable, *list_directory(workshop.root.sub("containers"))}:
        try:
            if container_id in writable:
                database.read_mount(container_id)
            elif workshop.root.has_container(container_id):
                found.append(f"container {container_id}")
        except MountNotFound:
            continue
        except DamagedLayer:
            found.append(f"container {container_id}")
    return sorted(found)


def referenced_ids(workshop: Workshop) -> set[str]:
    """Graph driver ids that layers and writable layers name, damaged ones as far as they can be read."""
    database = workshop.database
    ids: set[str] = set()
    for chain in database.chain_ids():
        try:
            ids.add(database.cache_id(chain))
        except (DamagedLayer, LayerNotFound):
            continue
    for container_id in database.containers():
        try:
            mounted = database.read_mount(container_id)
        except (DamagedLayer, MountNotFound):
            continue
        ids.add(mounted.mount_id)
        if mounted.init_id:
            ids.add(mounted.init_id)
    return ids


def correct(workshop: Workshop, container_id: str) -> None:
    """Let a damaged writable layer's metadata name the directories that are surely its own, and nothing else.

    For its removal, which takes along what it names. What is not found is left for the check of the root, which
    reclaims what nothing refers to once nobody else's it may be. Interrupted, it can be done again. Raises
    :class:`UnreadableLayer`.
    """
    directory = workshop.database.mount_path(container_id)
    mount_id = _own_id(workshop, container_id, driver_ids_in(directory))
    init_id = f"{mount_id}{INIT}"
    exists = mount_id is not None and workshop.driver.exists(init_id)
    # In this order, and each at once: in between it is damaged still.
    for name, text in (("mount-id", mount_id), ("init-id", init_id if exists else None)):
        path = f"{directory}/{name}"
        if text is None or os.path.isdir(path):
            remove_tree(path)
        if text is not None:
            atomicfile.write(path, text.encode(), mode=0o644, sync=False)


def _own_id(workshop: Workshop, container_id: str, named: list[str]) -> str | None:
    """The id of a container's writable layer; ``None`` when it can't be told.

    It is the one that ``mount-id`` or ``init-id`` names when there is one and it is nobody else's. Else it is the only
    one on an ``-init`` layer that is nobody's, unless something else has lost its own too.
    """
    unclaimed = _unclaimed(workshop, container_id)
    candidates = {id.removesuffix(INIT) for id in named} & unclaimed
    if len(candidates) != 1:
        if any(whose != f"container {container_id}" for whose in homeless(workshop)):
            return None
        candidates = {id for id in candidates or unclaimed if _is_container(workshop, id)}
    return candidates.pop() if len(candidates) == 1 else None


def _unclaimed(workshop: Workshop, container_id: str) -> set[str]:
    """Ids of writable layers that may be the container's: no other one's, no operation's, and not in the trash.

    Raises :class:`UnreadableLayer`.
    """
    found = {id.removesuffix(INIT) for id in workshop.driver.ids()}
    # What was made before is a running operation's after, or is referred to; what was removed is in the trash.
    running = Running(workshop)
    claimed = referenced_ids(workshop)
    mounts, trash = workshop.database.mounts, workshop.root.sub("lamina/trash")
    others = [f"{mounts}/{name}" for name in workshop.database.containers() if name != container_id]
    for path in (*others, *(f"{trash}/{name}" for name in list_directory(trash))):
        if os.path.isdir(path):
            claimed.update(driver_ids_in(path))
    cache = BuildCache(workshop.root)
    claimed = {id.removesuffix(INIT) for id in claimed}
    return {id for id in found - claimed if not (running.owns_id(id) or cache.keeps(id))}


def _is_container(workshop: Workshop, id: str) -> bool:
    """Whether a directory has the ``-init`` layer of a container below it."""
    try:
        return workshop.driver.parent_ids(id)[:1] == [f"{id}{INIT}"]
    except (LaminaError, OSError):
        return False
