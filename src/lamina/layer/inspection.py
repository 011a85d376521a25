"""What can be wrong with layers and writable layers on disk."""

from __future__ import annotations

import os
from collections.abc import Iterator

from lamina.characters import is_hex
from lamina.digest import ChainID
from lamina.errors import LaminaError
from lamina.functools import partial
from lamina.graphdriver.contract import Problem
from lamina.graphdriver.removal import remove_tree
from lamina.layer import release
from lamina.layer.buildcache import BuildCache
from lamina.layer.contract import Layer
from lamina.layer.database import (
    TAR_SPLIT,
    DamagedLayer,
    LayerNotFound,
    MountNotFound,
    UnreadableLayer,
    driver_ids_in,
    list_directory,
)
from lamina.layer.finding import DAMAGED, MISSING, ORPHAN, Suspect
from lamina.layer.liveness import Running
from lamina.layer.mending import content_problem, mend, mended
from lamina.layer.ownership import homeless, referenced_ids
from lamina.layer.recovery import remove_unreferenced
from lamina.layer.sizes import size_of
from lamina.layer.workshop import Workshop


def staging(workshop: Workshop) -> Iterator[Suspect]:
    """What interrupted operations of any engine left in ``layerdb``."""
    running = Running(workshop)
    database = workshop.database
    for path in database.staging():
        if not running.owns(path):
            yield _garbage(workshop, path, "left by an interrupted operation")
    for name in list_directory(database.layers):
        if not is_hex(name):
            yield _garbage(workshop, f"{database.layers}/{name}", "no layer: left by an interrupted removal")


def layers(workshop: Workshop, *, deep: bool) -> Iterator[Suspect]:
    """Layers whose metadata, or with ``deep`` whose content, is damaged."""
    database = workshop.database
    owners: dict[str, ChainID] = {}
    for chain in sorted(database.chain_ids()):
        path = database.path(chain)
        try:
            layer = database.read(chain)
        except LayerNotFound:
            continue
        except DamagedLayer as error:
            better = mended(workshop, chain)
            yield Suspect(DAMAGED, path, str(error), mend(workshop, better) if better is not None else None)
            continue
        if owners.setdefault(layer.cache_id, chain) != chain:
            yield Suspect(DAMAGED, path, f"has the same directory as layer {owners[layer.cache_id]}")
        yield from _layer(workshop, layer, path, deep=deep)


def _layer(workshop: Workshop, layer: Layer, path: str, *, deep: bool) -> Iterator[Suspect]:
    if layer.parent is not None and not workshop.database.exists(layer.parent):
        yield Suspect(MISSING, path, f"the layer {layer.parent} below it is missing")
    record = f"{path}/{TAR_SPLIT}"
    if not os.path.isfile(record):
        yield Suspect(MISSING, record, "without it the layer can be used, but not saved or pushed")
    elif not os.path.getsize(record):
        yield Suspect(DAMAGED, record, "empty: the layer can be used, but not saved or pushed")
    elif deep and workshop.driver.exists(layer.cache_id):
        problem = content_problem(workshop, layer)
        if problem is not None:
            yield Suspect(DAMAGED, workshop.driver.diff_path(layer.cache_id), f"layer {layer.chain_id}: {problem}")


def unneeded(workshop: Workshop, needed: set[ChainID]) -> Iterator[Suspect]:
    """Layers that nothing needs, top first. ``needed`` names the tops of the stacks of all images."""
    running = Running(workshop)
    for layer in release.unneeded(workshop, needed, None):
        if not running.owns_id(layer.cache_id):
            size = size_of(workshop.driver.diff_path(layer.cache_id))
            mend = partial(release.release, workshop, needed, None)  # all at once: it knows what is in use
            yield Suspect(ORPHAN, workshop.database.path(layer.chain_id), "no image needs this layer", mend, size)


def writables(workshop: Workshop) -> Iterator[Suspect]:
    """Writable layers that are damaged or whose container does not exist."""
    running = Running(workshop)
    database = workshop.database
    for container_id in sorted(database.containers()):
        if running.changes_container(container_id):
            continue
        try:
            path = database.mount_path(container_id)
        except MountNotFound:
            yield _garbage(workshop, f"{database.mounts}/{container_id}", "no writable layer has such a name")
            continue
        if not workshop.root.has_container(container_id):
            yield _garbage(workshop, path, "writable layer of a container that does not exist")
            continue
        try:
            mounted = database.read_mount(container_id)
        except MountNotFound:
            continue
        except DamagedLayer as error:
            yield Suspect(DAMAGED, path, str(error))
            continue
        if mounted.parent is not None and not database.exists(mounted.parent):
            yield Suspect(MISSING, path, f"the layer {mounted.parent} below it is missing")


def directories(workshop: Workshop) -> Iterator[Suspect]:
    """What the graph driver finds in its own directory."""
    running = Running(workshop)
    referenced = frozenset(_with_parents(workshop, referenced_ids(workshop)))
    unknown = homeless(workshop)
    cache = BuildCache(workshop.root)
    for problem in workshop.driver.problems(referenced):
        if running.owns(problem.path) or (problem.kind == ORPHAN and cache.keeps(os.path.basename(problem.path))):
            continue
        suspect = _driver_suspect(workshop, problem)
        if unknown and problem.kind == ORPHAN:
            what = f"{problem.what} that can be read; it may be that of {unknown[0]}"
            suspect = suspect._replace(what=what, mend=None)
        yield suspect


def _driver_suspect(workshop: Workshop, problem: Problem) -> Suspect:
    size = size_of(problem.path) if problem.kind == ORPHAN else 0
    if problem.repairable:
        return Suspect(problem.kind, problem.path, problem.what, partial(workshop.driver.repair, problem), size)
    parent = _parent_of_directory(workshop, problem)
    if parent is None:
        return Suspect(problem.kind, problem.path, problem.what)
    return Suspect(problem.kind, problem.path, problem.what, partial(workshop.driver.restore_parent, *parent))


def _parent_of_directory(workshop: Workshop, problem: Problem) -> tuple[str, str] | None:
    """A directory whose place in its stack is damaged, and the one that it stands on by the layer store's account."""
    if problem.kind != DAMAGED:
        return None
    names = frozenset(problem.path.split("/"))
    database = workshop.database
    for chain in database.chain_ids():
        try:
            layer = database.read(chain)
            if layer.cache_id in names and layer.parent is not None:
                return layer.cache_id, database.cache_id(layer.parent)
        except (DamagedLayer, LayerNotFound):
            continue
    for container_id in database.containers():
        try:
            mounted = database.read_mount(container_id)
            below = database.cache_id(mounted.parent) if mounted.parent is not None else None
        except (DamagedLayer, LayerNotFound, MountNotFound):
            continue
        if mounted.mount_id in names and (mounted.init_id or below):
            return mounted.mount_id, mounted.init_id or str(below)
        if mounted.init_id in names and below is not None:
            return mounted.init_id, below
    return None


def _with_parents(workshop: Workshop, ids: set[str]) -> set[str]:
    """The ids and all that they stand on: a damaged layer's directory may be named only by what is above it."""
    found = set(ids)
    for id in ids:
        try:
            found.update(workshop.driver.parent_ids(id))
        except (LaminaError, OSError):
            continue  # the driver's own findings say why
    return found


def _garbage(workshop: Workshop, path: str, what: str) -> Suspect:
    """Metadata that nothing refers to, with the directories that only it names."""

    def reclaim() -> None:
        named = driver_ids_in(path)
        remove_tree(path)  # first, so that it does not count as a reference
        remove_unreferenced(workshop, named)

    try:
        size = size_of(path) + sum(size_of(workshop.driver.diff_path(id)) for id in driver_ids_in(path))
    except UnreadableLayer as error:
        return Suspect(ORPHAN, path, f"{what}; {error}")
    return Suspect(ORPHAN, path, what, reclaim, size)
