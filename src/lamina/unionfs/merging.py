"""Finding the lower parts of a merged directory, over opaque marks and redirects.

Source: Linux ``Documentation/filesystems/overlayfs.rst``, "Redirecting directories": ``overlay.redirect`` holds either
a name in the same directory or an absolute path from the root of the layers below.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import NamedTuple

from lamina.unionfs.layer import ROOT, Layer, LowerDirectory
from lamina.unionfs.marks import Mark, Marks
from lamina.unionfs.node import DirectoryNode


class LowerParts(NamedTuple):
    """``lower_path`` is where the directory is in the union of the lower layers alone."""

    lowers: tuple[LowerDirectory, ...]
    lower_path: bytes


class LowerSearch:
    """The search through one stack of lower layers."""

    def __init__(self, marks: Marks, layers: tuple[Layer, ...], *, follow: bool) -> None:
        """With ``follow`` false, redirects are ignored."""
        self._marks = marks
        self._layers = layers
        self._follow = follow

    def root(self, upper: Layer | None) -> tuple[LowerDirectory, ...]:
        """The lower roots, down to the first opaque one."""
        if upper is not None and self._marks.directory(upper, ROOT).opaque:
            return ()
        found = []
        for layer in self._layers:
            found.append(LowerDirectory(layer, ROOT))
            if layer is not self._layers[-1] and self._marks.directory(layer, ROOT).opaque:
                break
        return tuple(found)

    def find(self, parent: DirectoryNode, name: bytes, upper: Layer | None) -> LowerParts:
        """The lower parts of the directory ``name`` in ``parent``; ``upper`` when the upper layer has it."""
        lower_path = parent.lower_path + b"/" + name
        absolute: bytes | None = None
        if upper is not None:
            marks = self._marks.directory(upper, parent.path + b"/" + name)
            if marks.opaque:
                return LowerParts((), lower_path)
            if marks.redirect is not None and self._follow:
                name, absolute = _redirected(marks.redirect, name, None)
                lower_path = absolute or parent.lower_path + b"/" + name
        return LowerParts(tuple(self._collect(parent.lowers, name, absolute)), lower_path)

    def _collect(
        self, parents: tuple[LowerDirectory, ...], name: bytes, absolute: bytes | None
    ) -> list[LowerDirectory]:
        found: list[LowerDirectory] = []
        places = iter(parents)
        index = 0
        while True:
            last = False
            if absolute is None:
                place = next(places, None)
                if place is None:
                    return found
                layer, path = place.layer, place.path + b"/" + name
                status = self._marks.find(layer, place.path, name)
            else:
                if index >= len(self._layers):
                    return found
                layer, path = self._layers[index], absolute
                status, absolute, last = self._walk(layer, absolute)
            index = layer.index
            if status is not None:
                if isinstance(status, Mark) or not stat.S_ISDIR(status.st_mode):
                    return found
                found.append(LowerDirectory(layer, path))
            if last or index == self._layers[-1].index:
                return found
            if status is not None:
                marks = self._marks.directory(layer, path)
                if marks.opaque:
                    return found
                if marks.redirect is not None and self._follow:
                    name, absolute = _redirected(marks.redirect, name, absolute)

    def _walk(self, layer: Layer, path: bytes) -> tuple[os.stat_result | Mark | None, bytes, bool]:
        """What ``layer`` has at an absolute ``path``, where to go on below, and whether nothing below counts."""
        directory = below = ROOT
        last = False
        components = path.split(b"/")[1:]
        status: os.stat_result | Mark | None = None
        for position, name in enumerate(components, 1):
            below += b"/" + name
            status = self._marks.find(layer, directory, name)
            if status is None:
                return None, b"/".join((below, *components[position:])), last
            if isinstance(status, Mark) or not stat.S_ISDIR(status.st_mode):
                return Mark.HIDDEN, path, True
            directory += b"/" + name
            if position < len(components):
                marks = self._marks.directory(layer, directory)
                last = last or marks.opaque
                if marks.redirect is not None and self._follow:
                    below = _redirected(marks.redirect, name, below)[1] or below
        return status, below, last


def _redirected(redirect: bytes, name: bytes, absolute: bytes | None) -> tuple[bytes, bytes | None]:
    """The name and, if known, the absolute path to go on with. A redirect that points outside is refused."""
    components = redirect.split(b"/")
    if redirect.startswith(b"/"):
        components = components[1:]
        if all(part not in (b"", b".", b"..") for part in components):
            return name, ROOT + redirect
    elif len(components) == 1 and redirect not in (b"", b".", b".."):
        return redirect, None if absolute is None else os.path.dirname(absolute) + b"/" + redirect
    raise OSError(errno.EINVAL, "invalid redirect", redirect)
