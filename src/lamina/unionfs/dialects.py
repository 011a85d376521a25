"""The dialects by name, and the third one: what fuse-overlayfs reads.

fuse-overlayfs writes overlayfs's marks where it may and AUFS's (``.wh.NAME``, ``.wh..wh..opq``) where it may not, and
reads both in every layer, besides its own ``user.fuseoverlayfs.opaque``. So do we; what we write is overlayfs's.
"""

from __future__ import annotations

import errno
import os

from lamina.unionfs.layer import Layer
from lamina.unionfs.marks import (
    AufsMarks,
    Contents,
    DirectoryMarks,
    Mark,
    Marks,
    OverlayMarks,
    attribute,
    without_aufs_marks,
)
from lamina.unionfs.options import Dialect
from lamina.unionfs.whiteout import OPAQUE, PREFIX

#: Attributes that say what ``overlay.opaque`` says.
_OPAQUE_ATTRIBUTES = ("user.fuseoverlayfs.opaque", "user.overlay.opaque", "trusted.overlay.opaque")
#: Attributes of the unions themselves, whoever wrote them.
_PRIVATE_ATTRIBUTES = ("user.fuseoverlayfs.", "user.overlay.", "trusted.overlay.")


def marks_for(dialect: Dialect, *, userxattr: bool) -> Marks:
    """The reader and writer of ``dialect``'s marks."""
    if dialect is Dialect.AUFS:
        return AufsMarks()
    prefix = "user.overlay." if userxattr else "trusted.overlay."
    return OverlayMarks(prefix) if dialect is Dialect.OVERLAY else FuseOverlayfsMarks(prefix)


class FuseOverlayfsMarks(OverlayMarks):
    """Overlayfs's marks, written and read, and AUFS's and fuse-overlayfs's own, read.

    A layer that has both a file and an AUFS whiteout of its name shows the file. A change under a name begins with
    :meth:`settle`, so that nothing else meets an AUFS whiteout in the upper layer.
    """

    def __init__(self, prefix: str) -> None:
        super().__init__(prefix)
        self._aufs = AufsMarks()

    def reserved(self, name: bytes) -> bool:
        return self._aufs.reserved(name)

    def find(self, layer: Layer, directory: bytes, name: bytes) -> os.stat_result | Mark | None:
        if name.startswith(PREFIX):
            return None
        found = super().find(layer, directory, name)
        if found is None and self._aufs.has_whiteout(layer, directory, name):
            return Mark.HIDDEN
        return found

    def directory(self, layer: Layer, path: bytes) -> DirectoryMarks:
        marks = super().directory(layer, path)
        if marks.opaque:
            return marks
        opaque = layer.status(path + b"/" + OPAQUE) is not None or any(
            attribute(layer, path, name) == b"y" for name in _OPAQUE_ATTRIBUTES if name != self.prefix + "opaque"
        )
        return marks._replace(opaque=opaque)

    def contents(self, layer: Layer, path: bytes, marks: DirectoryMarks) -> Contents:
        found = super().contents(layer, path, marks)
        entries, hidden = without_aufs_marks(found.entries)
        return Contents(entries, hidden | found.hidden)

    def settle(self, layer: Layer, directory: bytes, name: bytes) -> None:
        """Make an AUFS whiteout of ``name`` in the upper layer one of overlayfs's."""
        if not self._aufs.has_whiteout(layer, directory, name):
            return
        if layer.status(directory + b"/" + name) is None:
            self.make_whiteout(layer, directory, name)
        self._aufs.remove_whiteout(layer, directory, name)

    def private(self, attribute: str) -> bool:
        return super().private(attribute) or _is_foreign(attribute, self.prefix)

    def stored_name(self, attribute: str) -> str:
        if _is_foreign(attribute, self.prefix):
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP), attribute)
        return super().stored_name(attribute)

    def shown_name(self, attribute: str) -> str | None:
        return None if _is_foreign(attribute, self.prefix) else super().shown_name(attribute)


def _is_foreign(attribute: str, prefix: str) -> bool:
    return attribute.startswith(_PRIVATE_ATTRIBUTES) and not attribute.startswith(prefix)
