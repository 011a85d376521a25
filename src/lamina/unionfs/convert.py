"""Rewriting a layer's marks from one dialect to the other, in place.

A layer that was being converted when the machine stopped is converted by doing it again. Directories keep their times.
"""

from __future__ import annotations

import os
import stat

from lamina.contextlib import suppress
from lamina.errors import Unsupported
from lamina.typing import NamedTuple
from lamina.unionfs.dialects import marks_for
from lamina.unionfs.layer import ROOT, Layer
from lamina.unionfs.marks import AufsMarks, Entry, Marks, OverlayMarks, attribute, scan
from lamina.unionfs.options import Dialect
from lamina.unionfs.whiteout import META_PREFIX, OPAQUE, PREFIX


class CannotConvert(Unsupported):
    """The layer has something that the other dialect can't say."""


class Converted(NamedTuple):
    """How many marks were rewritten."""

    whiteouts: int
    opaque: int


def convert(directory: str, source: Dialect, target: Dialect, *, userxattr: bool = False) -> Converted:
    """Rewrite the layer ``directory``, which must not be mounted, from ``source`` to ``target``.

    :param userxattr: overlayfs's marks are ``user.overlay.*`` instead of ``trusted.overlay.*``.
    :raises CannotConvert: before anything is changed.
    :raises OSError:
    """
    if source is target:
        return Converted(0, 0)
    layer = Layer(directory, 0)
    try:
        old, new = marks_for(source, userxattr=userxattr), marks_for(target, userxattr=userxattr)
        directories = _checked(layer, old)
        # From the bottom up: a directory's times are put back when nothing in it changes any more.
        counts = [_convert_directory(layer, path, old, new) for path in reversed(directories)]
        return Converted(sum(count.whiteouts for count in counts), sum(count.opaque for count in counts))
    finally:
        layer.close()


def _checked(layer: Layer, marks: Marks) -> list[bytes]:
    """All directories, parents first. Raises :class:`CannotConvert`."""
    directories = [ROOT]
    for path in directories:
        found = marks.directory(layer, path)
        if found.redirect is not None:
            raise CannotConvert(f"{layer.host_path(path)} is a renamed directory (redirect), which AUFS does not know")
        contents = marks.contents(layer, path, found)
        for entry in scan(layer, path):
            _check(layer, path, entry, contents.hidden, marks)
            if entry.kind == stat.S_IFDIR and not entry.name.startswith(META_PREFIX):
                directories.append(path + b"/" + entry.name)
    return directories


def _check(layer: Layer, path: bytes, entry: Entry, hidden: set[bytes], marks: Marks) -> None:
    place = layer.host_path(path + b"/" + entry.name)
    if isinstance(marks, OverlayMarks):
        if entry.name.startswith(PREFIX) and not _is_mark(layer, path, entry):
            raise CannotConvert(f"{place} has a name that AUFS keeps for itself")
        if attribute(layer, path + b"/" + entry.name, marks.prefix + "metacopy") is not None:
            raise CannotConvert(f"{place} has its data in another layer (metacopy)")
    elif entry.name in hidden and entry.kind != stat.S_IFCHR:
        raise CannotConvert(f"{place} is hidden by a whiteout beside it; overlayfs can have one of them")


def _is_mark(layer: Layer, path: bytes, entry: Entry) -> bool:
    """Whether a file is a mark of AUFS's that a conversion made which did not come to its end."""
    status = layer.status(path + b"/" + entry.name)
    return status is not None and stat.S_ISREG(status.st_mode) and status.st_size == 0


def _convert_directory(layer: Layer, path: bytes, old: Marks, new: Marks) -> Converted:
    times = os.stat(path, dir_fd=layer.descriptor)
    found = old.directory(layer, path)
    contents = old.contents(layer, path, found)
    if found.opaque:
        new.set_opaque(layer, path)
    for name in contents.hidden:
        if isinstance(old, OverlayMarks):
            new.make_whiteout(layer, path, name)  # first: no moment without a mark
            os.unlink(path + b"/" + name, dir_fd=layer.descriptor)
        else:
            if not new.has_whiteout(layer, path, name):
                new.make_whiteout(layer, path, name)
            old.remove_whiteout(layer, path, name)
    if found.opaque or found.attribute_whiteouts:
        _remove_opaque(layer, path, old)
    if isinstance(old, AufsMarks) and path == ROOT:
        _remove_records(layer)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns), dir_fd=layer.descriptor)
    return Converted(len(contents.hidden), int(found.opaque))


def _remove_opaque(layer: Layer, path: bytes, marks: Marks) -> None:
    with suppress(FileNotFoundError):
        if isinstance(marks, OverlayMarks):
            os.removexattr(layer.prefix + path, marks.prefix + "opaque", follow_symlinks=False)
        else:
            os.unlink(path + b"/" + OPAQUE, dir_fd=layer.descriptor)


def _remove_records(layer: Layer) -> None:
    """AUFS's own files in the root: link records, orphans, its mark of a branch. They mean nothing to others."""
    for entry in scan(layer, ROOT):
        if entry.name.startswith(META_PREFIX):
            _remove(layer, ROOT + b"/" + entry.name, entry.kind)


def _remove(layer: Layer, path: bytes, kind: int) -> None:
    if kind != stat.S_IFDIR:
        os.unlink(path, dir_fd=layer.descriptor)
        return
    for entry in scan(layer, path):
        _remove(layer, path + b"/" + entry.name, entry.kind)
    os.rmdir(path, dir_fd=layer.descriptor)
