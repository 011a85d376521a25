"""What can be wrong in an ``overlay2`` directory, and how it is mended.

A layer's place in its stack stands in three places: its file ``link``, the symbolic link of that name, and the files
``lower`` of everything above it. Each can be made again from the others.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from lamina.contextlib import suppress
from lamina.graphdriver.contract import Problem
from lamina.graphdriver.failure import LayerDamaged, LayerMissing
from lamina.graphdriver.overlay2.layout import Layout
from lamina.graphdriver.removal import remove_tree
from lamina.linux import mount

_VOLATILE_MARK = "work/work/incompat/volatile"


class Index:
    """Everything that the small files say, read once.

    :ivar links: name in ``l/`` by id, from the files ``link``; ``owners`` is the reverse.
    :ivar lowers: names below, by id, for the layers whose ``lower`` can be read.
    :ivar damaged: what is wrong with ``link`` or ``lower``, by path.
    :ivar targets: id by name, from the symbolic links; ``""`` for a malformed one.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.links: dict[str, str] = {}
        self.lowers: dict[str, list[str]] = {}
        self.damaged: dict[str, str] = {}
        self.targets = dict(layout.links())
        self.ids = sorted(layout.ids())
        for layer in self.ids:
            self._read(layer)
        self.owners = {name: layer for layer, name in self.links.items()}

    def _read(self, id: str) -> None:
        directory = f"{self.layout.home}/{id}"
        try:
            self.links[id] = self.layout.link(id)
        except LayerDamaged as error:
            self.damaged[f"{directory}/link"] = str(error)
        except LayerMissing:
            return
        try:
            self.lowers[id] = self.layout.lowers(id)
        except LayerDamaged as error:
            self.damaged[f"{directory}/lower"] = str(error)
        except LayerMissing:
            return

    def link_of(self, id: str) -> str | None:
        """The layer's name in ``l/`` as far as anything still says it: its file, a symbolic link, a layer above."""
        if id in self.links:
            return self.links[id]
        named = [name for name, target in self.targets.items() if target == id]
        if named:
            return self._most_used(named)
        return self._name_above(self.lowers.get(id))

    def _most_used(self, names: list[str]) -> str:
        used = {name for lowers in self.lowers.values() for name in lowers}
        return next((name for name in names if name in used), names[0])

    def _name_above(self, below: list[str] | None) -> str | None:
        """The only name without a symbolic link that some layer has directly above exactly ``below``."""
        candidates = set()
        for lowers in self.lowers.values():
            for position, name in enumerate(lowers):
                if name not in self.targets and lowers[position + 1 :] == below:
                    candidates.add(name)
        return candidates.pop() if len(candidates) == 1 else None

    def lowers_of(self, id: str) -> list[str] | None:
        """What is below the layer according to the layers above it; ``None`` when there are none."""
        name = self.link_of(id)
        for lowers in self.lowers.values():
            if name in lowers:
                return lowers[lowers.index(name) + 1 :]
        return None


def problems(layout: Layout, referenced: frozenset[str]) -> Iterator[Problem]:
    """See :meth:`lamina.graphdriver.contract.GraphDriver.problems`."""
    if not os.path.isdir(layout.home):
        for layer in sorted(referenced):
            yield Problem("missing", f"{layout.home}/{layer}", "layer directory is missing", False)
        return
    index = Index(layout)
    for layer in sorted(referenced.difference(index.ids)):
        yield Problem("missing", f"{layout.home}/{layer}", "layer directory is missing", False)
    for layer in index.ids:
        if layer in referenced:
            yield from _layer_problems(index, layer)
        else:
            yield Problem("orphan", f"{layout.home}/{layer}", "no image or container refers to this layer", True)
    yield from _link_problems(index, referenced)
    yield from _stray_files(layout)


def _layer_problems(index: Index, id: str) -> Iterator[Problem]:
    directory = f"{index.layout.home}/{id}"
    if not os.path.isdir(f"{directory}/diff"):
        yield Problem("missing", f"{directory}/diff", "the layer's content is missing", False)
    link, lower = f"{directory}/link", f"{directory}/lower"
    if link in index.damaged:
        mendable = index.link_of(id) is not None or not _dangling(index)
        yield Problem("damaged", link, index.damaged[link], mendable)
    elif index.targets.get(index.links[id]) != id:
        path = index.layout.link_path(index.links[id])
        yield Problem("damaged", path, f"symbolic link to ../{id}/diff is missing or leads elsewhere", True)
    if lower in index.damaged:
        yield Problem("damaged", lower, index.damaged[lower], index.lowers_of(id) is not None)
    else:
        yield from _stack_problems(index, id, lower)
    if not mount.is_mount_point(f"{directory}/merged"):
        yield from _mount_leftovers(directory)


def _dangling(index: Index) -> bool:
    """Whether a layer is above a name that no symbolic link has."""
    return any(name not in index.targets for lowers in index.lowers.values() for name in lowers)


def _stack_problems(index: Index, id: str, lower: str) -> Iterator[Problem]:
    """A layer's list must be its parent's name and then the parent's list."""
    names = index.lowers.get(id, [])
    for name in names:
        if name not in index.owners and not index.targets.get(name):
            yield Problem("missing", lower, f"the layer l/{name} below it is missing", False)
            return
    if not names:
        return
    parent = index.owners.get(names[0]) or index.targets[names[0]]
    if parent == id or index.links.get(id) in names:
        yield Problem("damaged", lower, "the layer is below itself", False)
    elif parent in index.lowers and index.lowers[parent] != names[1:]:
        yield Problem("damaged", lower, f"the stack differs from that of its parent {parent}", False)


def _mount_leftovers(directory: str) -> Iterator[Problem]:
    merged, mark = f"{directory}/merged", f"{directory}/{_VOLATILE_MARK}"
    if os.path.isdir(merged):
        empty = not os.listdir(merged)
        what = "mount point without a mount" if empty else "files in a mount point without a mount"
        yield Problem("orphan", merged, what, empty)
    if os.path.isdir(mark):
        yield Problem("damaged", mark, "a volatile mount was not ended in order; overlayfs refuses the layer", True)


def _link_problems(index: Index, referenced: frozenset[str]) -> Iterator[Problem]:
    """Symbolic links that no layer calls its own."""
    used = {name for layer in referenced for name in index.lowers.get(layer, ())}
    layers = frozenset(index.ids)
    for name, target in sorted(index.targets.items()):
        if target in index.links and index.links[target] != name and name not in used:
            yield Problem("orphan", index.layout.link_path(name), f"second link to layer {target}", True)
        elif target not in layers and name not in used:
            yield Problem("orphan", index.layout.link_path(name), "link to a layer that does not exist", True)


def _stray_files(layout: Layout) -> Iterator[Problem]:
    with os.scandir(layout.home) as entries:
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False) and entry.name != "backingFsBlockDev":
                yield Problem("orphan", entry.path, "no part of the driver's layout", True)


def repair(layout: Layout, problem: Problem) -> str | None:
    """Mend one problem, idempotently; the id of an orphaned layer is returned: the driver must remove it.

    Raises :class:`OSError`.
    """
    parts = os.path.relpath(problem.path, layout.home).split(os.sep)
    if parts[0] == "l":
        _repair_link(layout, parts[1])
    elif len(parts) == 1:
        if os.path.isdir(problem.path) and not os.path.islink(problem.path):
            return parts[0]
        with suppress(FileNotFoundError):
            os.unlink(problem.path)
    elif parts[1] == "merged":
        with suppress(FileNotFoundError):
            os.rmdir(problem.path)
    elif parts[1] == "work":
        remove_tree(problem.path)
    elif parts[1] == "link":
        _repair_link_file(Index(layout), parts[0])
    elif parts[1] == "lower":
        names = Index(layout).lowers_of(parts[0])
        if names is not None:
            layout.write_lower(parts[0], names)
    return None


def _repair_link(layout: Layout, name: str) -> None:
    """Point ``l/<name>`` at the layer that calls itself so; remove it when there is none."""
    owner = Index(layout).owners.get(name)
    if owner is not None and layout.link_target(name) == owner:
        return
    with suppress(FileNotFoundError):
        os.unlink(layout.link_path(name))
    if owner is not None:
        layout.new_link(owner, name)


def _repair_link_file(index: Index, id: str) -> None:
    name = index.link_of(id)
    if name is None:
        name = index.layout.new_link(id)
    elif name not in index.targets:
        index.layout.new_link(id, name)
    index.layout.write_link(id, name)
