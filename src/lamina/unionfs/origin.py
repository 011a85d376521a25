"""Where an entry of the merged tree comes from: its layer, what it hides, and why."""

from __future__ import annotations

import os
import stat

from lamina.typing import NamedTuple
from lamina.unionfs.layer import Layer, LowerDirectory
from lamina.unionfs.marks import Mark
from lamina.unionfs.node import DirectoryNode, Node
from lamina.unionfs.tree import Tree

_KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}


class Presence(NamedTuple):
    """What one layer has under a path. ``layer`` is 0 for the upper directory, then 1, 2, ... from the top."""

    layer: int
    host_path: str
    kind: str
    #: Whether it can be seen, as a whole (a file) or as a part (a merged directory).
    visible: bool
    why: str


class Origin(NamedTuple):
    """The layer that an entry's attributes (and a file's data) come from."""

    path: bytes
    layer: int
    host_path: str
    kind: str
    reason: str
    #: What else has the name, top first: further parts of a merged directory, and what can't be seen.
    others: tuple[Presence, ...]


def kind_name(mode: int) -> str:
    """What a mode's type is called: ``file``, ``directory``, ``symlink``, ..."""
    return _KINDS.get(stat.S_IFMT(mode), "unknown")


def presences(tree: Tree, parent: DirectoryNode, name: bytes) -> list[Presence]:
    """Every layer that has something under ``name`` in ``parent``, whiteouts too, top first."""
    node = tree.lookup(parent, name)
    parts = _parts(tree, node)
    found: list[Presence] = []
    hidden_by: str | None = None
    data = None if node is None else tree.metacopies.get(node)
    for layer, directory, base in _places(tree, parent, node, name):
        status = tree.marks.find(layer, directory, base)
        if status is None:
            continue
        path = directory + b"/" + base
        if isinstance(status, Mark):
            why = f"hides {os.fsdecode(base)} below" if hidden_by is None else f"hidden by {hidden_by}"
            found.append(Presence(layer.index, layer.host_path(path), "whiteout", False, why))
            hidden_by = hidden_by or f"the whiteout in layer {layer.index}"
            continue
        kind = kind_name(status.st_mode)
        visible = hidden_by is None and (layer.index, path) in parts
        shown = "shown" if len(parts) == 1 else "merged"
        why = shown if visible else f"hidden by {hidden_by or 'the layers above'}"
        if data is not None and (layer.index, path) == (data.layer.index, data.path):
            why = "its data is shown"
        found.append(Presence(layer.index, layer.host_path(path), kind, visible, why))
        if hidden_by is None:
            if not stat.S_ISDIR(status.st_mode):
                hidden_by = f"the {kind} in layer {layer.index}"
            elif tree.marks.directory(layer, path).opaque:
                hidden_by = f"the opaque directory in layer {layer.index}"
    return found


def _parts(tree: Tree, node: Node | None) -> set[tuple[int, bytes]]:
    """Layer and path of everything that shows as ``node``."""
    if node is None:
        return set()
    parts: set[tuple[int, bytes]] = set()
    if node.upper or not isinstance(node, DirectoryNode):
        descriptor, path = tree.place(node)
        layers = ([tree.upper] if tree.upper is not None else []) + list(tree.lowers)
        parts |= {(layer.index, path) for layer in layers if layer.descriptor == descriptor}
    if isinstance(node, DirectoryNode):
        parts |= {(lower.layer.index, lower.path) for lower in node.lowers}
    return parts


def _places(tree: Tree, parent: DirectoryNode, node: Node | None, name: bytes) -> list[tuple[Layer, bytes, bytes]]:
    """Where the name can be: in each part of the parent, and where redirects lead."""
    places: list[tuple[Layer, bytes, bytes]] = []
    if parent.upper and tree.upper is not None:
        places.append((tree.upper, parent.path, name))
    redirected = isinstance(node, DirectoryNode) and bool(node.lowers)
    lowers: tuple[LowerDirectory, ...] = parent.lowers
    by_layer = {lower.layer.index: (lower.layer, lower.path, name) for lower in lowers}
    if redirected:
        assert isinstance(node, DirectoryNode)
        for lower in node.lowers:
            directory, _, base = lower.path.rpartition(b"/")
            by_layer[lower.layer.index] = (lower.layer, directory, base)
    if node is not None and node in tree.metacopies:
        layer, path, *_ = tree.metacopies[node]
        directory, _, base = path.rpartition(b"/")
        by_layer[layer.index] = (layer, directory, base)
    return places + [by_layer[index] for index in sorted(by_layer)]


def origin(tree: Tree, path: bytes, parent: DirectoryNode, name: bytes, node: Node) -> Origin:
    """Where ``node``, called ``name`` in ``parent``, comes from."""
    all_presences = presences(tree, parent, name)
    shown = [presence for presence in all_presences if presence.visible]
    first = shown[0]
    others = tuple(presence for presence in all_presences if presence is not first)
    return Origin(path, first.layer, first.host_path, first.kind, _reason(node, shown, others), others)


def _reason(node: Node, shown: list[Presence], others: tuple[Presence, ...]) -> str:
    if len(shown) > 1:
        reason = "merged with " + _layers(shown[1:])
        assert isinstance(node, DirectoryNode)
        if node.upper and node.lower_path != node.path:
            reason += f", redirected to {os.fsdecode(node.lower_path[1:])}"
        return reason
    hidden = [other for other in others if not other.visible and other.kind != "whiteout"]
    if not hidden:
        return "only here"
    return "hides " + _layers(hidden)


def _layers(found: list[Presence]) -> str:
    return "layer " + ", ".join(str(presence.layer) for presence in found)
