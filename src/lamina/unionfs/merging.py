"""Finding the lower parts of a merged directory, over opaque marks and redirects.

Source: Linux ``Documentation/filesystems/overlayfs.rst``, "Redirecting directories": ``overlay.redirect`` holds either
a name in the same directory or an absolute path from the root of the layers below.
"""

from __future__ import annotations

import errno
import os
import stat

from lamina.typing import NamedTuple
from lamina.unionfs.layer import ROOT, Layer, LowerDirectory
from lamina.unionfs.marks import Mark, Marks
from lamina.unionfs.node import DirectoryNode


class LowerParts(NamedTuple):
    """``lower_path`` is where the directory is in the union of the lower layers alone, ``status`` the topmost's."""

    lowers: tuple[LowerDirectory, ...]
    lower_path: bytes
    status: os.stat_result | None = None


class Data(NamedTuple):
    """Where the data of a file is whose own copy has none (overlayfs's ``metacopy``)."""

    layer: Layer
    path: bytes
    #: What the topmost copy has below it, in the union of the lower layers alone.
    lower_path: bytes
    #: Whether the topmost copy itself says where, wherever it is moved.
    redirected: bool


class LowerSearch:
    """The search through one stack of lower layers."""

    def __init__(self, marks: Marks, layers: tuple[Layer, ...], *, follow: bool) -> None:
        """With ``follow`` false, who meets a redirect gets ``EPERM``, as from the kernel."""
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
            if marks.redirect is not None:
                name, absolute = self._redirected(marks.redirect, name, None)
                lower_path = absolute or parent.lower_path + b"/" + name
        found, status = self._collect(parent.lowers, name, absolute)
        return LowerParts(tuple(found), lower_path, status)

    def _collect(
        self, parents: tuple[LowerDirectory, ...], name: bytes, absolute: bytes | None
    ) -> tuple[list[LowerDirectory], os.stat_result | None]:
        found: list[LowerDirectory] = []
        topmost: os.stat_result | None = None
        places = iter(parents)
        index = 0
        while True:
            last = False
            if absolute is None:
                place = next(places, None)
                if place is None:
                    return found, topmost
                layer, path = place.layer, place.path + b"/" + name
                status = self._marks.find(layer, place.path, name)
            else:
                if index >= len(self._layers):
                    return found, topmost
                layer, path = self._layers[index], absolute
                status, absolute, last = self._walk(layer, absolute)
            index = layer.index
            if status is not None:
                if isinstance(status, Mark) or not stat.S_ISDIR(status.st_mode):
                    return found, topmost
                found.append(LowerDirectory(layer, path))
                topmost = topmost or status
            if last or index == self._layers[-1].index:
                return found, topmost
            if status is not None:
                marks = self._marks.directory(layer, path)
                if marks.opaque:
                    return found, topmost
                if marks.redirect is not None:
                    name, absolute = self._redirected(marks.redirect, name, absolute)

    def data(self, parent: DirectoryNode, name: bytes, redirect: bytes, above: int) -> Data:
        """Where the file ``name`` in ``parent`` has its data, which the layer number ``above`` says is below.

        ``redirect`` is that layer's, or empty. ``EIO`` when no layer has the data.
        """
        absolute: bytes | None = None
        lower_path = parent.lower_path + b"/" + name
        redirected = redirect.startswith(b"/")
        if redirect:
            name, absolute = self._redirected(redirect, name, None)
            lower_path = absolute or parent.lower_path + b"/" + name
        places = {place.layer.index: place.path for place in parent.lowers}
        for layer in self._layers:
            last = False
            status: os.stat_result | Mark | None = None
            path = absolute or places.get(layer.index, b"") + b"/" + name
            if layer.index > above and absolute is not None:
                status, absolute, last = self._walk(layer, absolute)
            elif layer.index > above and layer.index in places:
                status = self._marks.find(layer, places[layer.index], name)
            if status is not None:
                if isinstance(status, Mark) or not stat.S_ISREG(status.st_mode):
                    break
                found = self._marks.borrowed(layer, path)
                if found is None:
                    return Data(layer, path, lower_path, redirected)
                if found:
                    name, absolute = self._redirected(found, name, absolute)
            if last:
                break
        raise OSError(errno.EIO, "no layer has the file's data (metacopy)", name)

    def _redirected(self, redirect: bytes, name: bytes, absolute: bytes | None) -> tuple[bytes, bytes | None]:
        if not self._follow:
            raise OSError(errno.EPERM, "redirects are not followed (redirect_dir=nofollow)", redirect)
        return _redirected(redirect, name, absolute)

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
            if isinstance(status, Mark):
                return status, path, True
            if not stat.S_ISDIR(status.st_mode):
                return (status, below, last) if position == len(components) else (Mark.HIDDEN, path, True)
            directory += b"/" + name
            if position < len(components):
                marks = self._marks.directory(layer, directory)
                last = last or marks.opaque
                if marks.redirect is not None:
                    below = self._redirected(marks.redirect, name, below)[1] or below
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
