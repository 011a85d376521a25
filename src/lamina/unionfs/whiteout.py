"""Marks that hide lower names, in the two dialects that images and overlayfs speak.

In a layer's tar (image-spec, ``layer.md``, "Whiteouts", from AUFS): an empty file ``.wh.NAME`` hides ``NAME``;
``.wh..wh..opq`` hides everything that lower layers have in its directory. Other names that begin with ``.wh..wh.`` are
AUFS's own records.
On disk (Linux ``Documentation/filesystems/overlayfs.rst``): a character device 0:0 hides its name; a directory with the
extended attribute ``trusted.overlay.opaque`` (or ``user.`` in user namespaces) set to ``y`` hides what is below it.
"""

from __future__ import annotations

import os
import stat

PREFIX = b".wh."
META_PREFIX = b".wh..wh."
OPAQUE = b".wh..wh..opq"

#: Extended attributes that are overlayfs's own, in either name space.
OVERLAY_XATTRS = (b"trusted.overlay.", b"user.overlay.")
OPAQUE_XATTR = b"trusted.overlay.opaque"
USER_OPAQUE_XATTR = b"user.overlay.opaque"


def hidden_name(base: bytes) -> bytes | None:
    """The name that a whiteout called ``base`` hides.

    ``None`` when that is no name: ``.wh.`` alone, or ``.wh..`` and ``.wh...``, which would mean a directory itself or
    its parent.
    """
    name = base[len(PREFIX) :]
    return None if name in (b"", b".", b"..") else name


def is_overlay_whiteout(status: os.stat_result) -> bool:
    """Whether a file of an overlayfs layer is a whiteout."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def is_overlay_xattr(name: bytes) -> bool:
    """Whether an extended attribute steers overlayfs: an image must not bring it, a layer's tar must not carry it."""
    return name.startswith(OVERLAY_XATTRS)
