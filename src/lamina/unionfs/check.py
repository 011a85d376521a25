"""What is wrong in the upper directory of a union that is not mounted, and mending it.

Looked for: files that a crash left in the work directory, marks that say nothing valid, redirects that lead nowhere,
whiteouts of names that no lower layer has. Neither overlayfs nor we fail at them; they take space or mislead.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from lamina.contextlib import suppress
from lamina.typing import NamedTuple
from lamina.unionfs.layer import Layer
from lamina.unionfs.marks import AufsMarks, DirectoryMarks, Marks, OverlayMarks, attribute
from lamina.unionfs.options import MountOptions
from lamina.unionfs.tree import Tree
from lamina.unionfs.union import Union
from lamina.unionfs.whiteout import META_PREFIX, OPAQUE, PREFIX

#: overlayfs's place for unfinished files in the work directory, and for its index of hard links.
_UNFINISHED = "work"


class Finding(NamedTuple):
    """One thing wrong.

    :ivar kind: ``leftover``, ``mark``, ``redirect`` or ``whiteout``.
    :ivar path: absolute host path.
    :ivar what: one line for a person.
    :ivar repairable: whether :func:`repair` mends it; what the union shows stays the same.
    """

    kind: str
    path: str
    what: str
    repairable: bool


class _Place(NamedTuple):
    """A directory of the upper layer and where its lower part is, ``None`` when it has none."""

    path: bytes
    below: bytes | None


def findings(options: MountOptions) -> Iterator[Finding]:
    """Everything wrong in the upper directory of ``options``, which must not be mounted.

    Raises what :class:`Union` raises.
    """
    if options.upperdir is None:
        return
    yield from _leftovers(options)
    lowers = None
    if options.lowerdirs:
        lowers = Union(options._replace(upperdir=None, workdir=None, read_only=True))
    tree = Tree(options._replace(read_only=True))
    try:
        assert tree.upper is not None
        yield from _Upper(tree.upper, tree.marks, lowers).findings()
    finally:
        tree.close()
        if lowers is not None:
            lowers.close()


def repair(finding: Finding) -> None:
    """Mend what :func:`findings` called repairable. Raises :class:`OSError`."""
    if finding.kind in ("mark", "redirect"):
        word = "redirect" if finding.kind == "redirect" else "opaque"
        for prefix in ("trusted.overlay.", "user.overlay."):
            with suppress(OSError):
                os.removexattr(finding.path, prefix + word, follow_symlinks=False)
    elif os.path.isdir(finding.path) and not os.path.islink(finding.path):
        _remove(finding.path)
    else:
        with suppress(FileNotFoundError):
            os.unlink(finding.path)


def _remove(directory: str) -> None:
    """Delete a directory of the work directory, whose modes may be anything (the kernel's is 0)."""
    with suppress(OSError):
        os.chmod(directory, 0o700)
    with os.scandir(directory) as entries:
        for entry in list(entries):
            if entry.is_dir(follow_symlinks=False):
                _remove(entry.path)
            else:
                os.unlink(entry.path)
    os.rmdir(directory)


def _leftovers(options: MountOptions) -> Iterator[Finding]:
    """What a server or a kernel that died was about to move into the upper directory."""
    assert options.upperdir is not None
    work = options.workdir or os.path.join(options.upperdir, os.fsdecode(META_PREFIX + b"work"))
    for name in sorted(_names(os.path.join(work, _UNFINISHED))):
        if name != "incompat":
            path = os.path.join(work, _UNFINISHED, name)
            yield Finding("leftover", path, "unfinished file of a mount that ended by a crash", True)


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return []


class _Upper:
    """One upper layer looked at from its root down."""

    def __init__(self, layer: Layer, marks: Marks, lowers: Union | None) -> None:
        self._layer = layer
        self._marks = marks
        self._lowers = lowers

    def findings(self) -> Iterator[Finding]:
        pending = [_Place(b".", b"")]
        while pending:
            place = pending.pop()
            marks = self._marks.directory(self._layer, place.path)
            contents = self._marks.contents(self._layer, place.path, marks)
            below = None if marks.opaque else place.below
            for name in sorted(contents.hidden):
                yield from self._whiteout(place.path, name, below)
            if isinstance(self._marks, AufsMarks):
                yield from self._self_hidden(place.path, contents.hidden)
            for entry in sorted(contents.entries, reverse=True):
                if entry.kind != stat.S_IFDIR or entry.name.startswith(META_PREFIX):
                    continue
                inner = place.path + b"/" + entry.name
                if isinstance(self._marks, OverlayMarks):
                    yield from self._broken_marks(inner, self._marks)
                lower, finding = self._lower_part(inner, entry.name, below)
                if finding is not None:
                    yield finding
                pending.append(_Place(inner, lower))

    def _lower_part(self, path: bytes, name: bytes, below: bytes | None) -> tuple[bytes | None, Finding | None]:
        """Where the lower part of the directory ``path`` is, and what is wrong with the redirect that says so."""
        marks: DirectoryMarks = self._marks.directory(self._layer, path)
        if marks.redirect is None:
            lower = None if below is None else _join(below, name)
            return (lower if self._is_directory(lower) else None), None
        target = marks.redirect[1:] if marks.redirect.startswith(b"/") else _join(below or b"", marks.redirect)
        if self._is_directory(target):
            return target, None
        what = f"redirected to {os.fsdecode(marks.redirect)!r}, which no lower layer has"
        return None, Finding("redirect", self._layer.host_path(path), what, True)

    def _broken_marks(self, path: bytes, marks: OverlayMarks) -> Iterator[Finding]:
        value = attribute(self._layer, path, marks.prefix + "opaque")
        if value not in (None, b"y", b"x"):
            yield Finding("mark", self._layer.host_path(path), f"opaque mark with the value {value!r}", True)

    def _whiteout(self, directory: bytes, name: bytes, below: bytes | None) -> Iterator[Finding]:
        if self._exists(None if below is None else _join(below, name)):
            return
        stored = name
        if isinstance(self._marks, AufsMarks) or self._layer.status(directory + b"/" + name) is None:
            stored = PREFIX + name  # fuse-overlayfs's dialect has both kinds
        path = self._layer.host_path(directory + b"/" + stored)
        yield Finding("whiteout", path, "whiteout of a name that no lower layer has", True)

    def _self_hidden(self, directory: bytes, hidden: set[bytes]) -> Iterator[Finding]:
        for name in sorted(hidden):
            if name and name != OPAQUE and self._layer.status(directory + b"/" + name) is not None:
                path = self._layer.host_path(directory + b"/" + name)
                yield Finding("mark", path, "hidden by a whiteout beside it", False)

    def _exists(self, path: bytes | None) -> bool:
        return path is not None and self._lowers is not None and self._lowers.exists(path)

    def _is_directory(self, path: bytes | None) -> bool:
        if path is None or self._lowers is None or not self._exists(path):
            return False
        return self._lowers.node(path).is_directory


def _join(directory: bytes, name: bytes) -> bytes:
    return directory + b"/" + name if directory else name
