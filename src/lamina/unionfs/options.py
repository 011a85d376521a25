"""What a union is made of: layers, dialect and switches, as values. The kernel's names and meanings where it has them.

Source of the names: Linux ``Documentation/filesystems/overlayfs.rst``.
"""

from __future__ import annotations

import enum
import os

from lamina.errors import InvalidArgument, Unsupported
from lamina.typing import NamedTuple

#: ``OVL_MAX_STACK`` of ``fs/overlayfs/params.h``.
MAX_LOWERS = 500


class Dialect(enum.Enum):
    """How layers write down what they hide."""

    OVERLAY = "overlay"
    AUFS = "aufs"
    #: Overlay's, and what fuse-overlayfs reads besides: AUFS's marks and ``user.fuseoverlayfs.*``.
    FUSE_OVERLAYFS = "fuse-overlayfs"


class IdRange(NamedTuple):
    """``size`` user or group numbers, of which a layer's ``first`` is shown as ``shown``."""

    first: int
    shown: int
    size: int


class MountOptions(NamedTuple):
    """A union's layers and switches. Paths are host paths; :meth:`check` tells what can't be."""

    #: Top first.
    lowerdirs: tuple[str, ...]
    #: ``None``: nothing can be changed.
    upperdir: str | None = None
    #: On ``upperdir``'s file system, empty or used before; the AUFS dialect finds a place of its own.
    workdir: str | None = None
    read_only: bool = False
    #: Never wait for the disk.
    volatile: bool = False
    #: Marks are ``user.overlay.*``; ``None`` decides by whether ``trusted.*`` may be written.
    userxattr: bool | None = None
    #: ``on``, ``follow``, ``nofollow`` or ``off``; without ``on`` a merged directory can't be renamed (``EXDEV``).
    #: ``None``: on, but not with ``user.overlay.*``, of which the kernel follows no redirects.
    redirect_dir: str | None = None
    #: ``on``, ``auto`` or ``off``: numbers are unique over all layers in any case.
    xino: str = "auto"
    #: The kernel's ``index``, which keeps a lower file's hard links together over copy-up.
    inode_index: bool = False
    #: Copy up a changed file's metadata only, and its data before it is first written to.
    metacopy: bool = False
    nfs_export: bool = False
    dialect: Dialect = Dialect.OVERLAY
    #: ``None``: as root yes, otherwise no (``/etc/fuse.conf`` must allow it).
    allow_other: bool | None = None
    #: Let the kernel read and write upper files itself where it can.
    passthrough: bool = True
    #: Let the kernel collect writes; excludes passthrough.
    writeback: bool = False
    #: Owner and group that everything is shown with; ``None``: the layers' own.
    squash_uid: int | None = None
    squash_gid: int | None = None
    #: Translations of owners and groups; others are shown as nobody's (65534). Empty: none.
    uid_mapping: tuple[IdRange, ...] = ()
    gid_mapping: tuple[IdRange, ...] = ()
    #: Users see and set no extended attributes.
    noxattrs: bool = False
    #: Every directory has one link, which needs no counting.
    static_nlink: bool = False
    #: Flags of the mount as words: ``nosuid``, ``noatime``.
    flags: tuple[str, ...] = ()
    #: The first field of ``/proc/mounts``.
    source: str = "lamina"

    def check(self) -> None:
        """Raises :class:`InvalidArgument` or :class:`Unsupported` for what no union can be made of."""
        if not self.lowerdirs and self.upperdir is None:
            raise InvalidArgument("missing 'lowerdir'")
        if len(self.lowerdirs) > MAX_LOWERS:
            raise InvalidArgument(f"too many lower directories, limit is {MAX_LOWERS}")
        if self.upperdir is not None and self.workdir is None and self.dialect is not Dialect.AUFS:
            raise InvalidArgument("missing 'workdir': an upper directory needs one on its file system")
        if self.redirect_dir not in (None, "on", "follow", "nofollow", "off"):
            raise InvalidArgument(f"redirect_dir={self.redirect_dir}: must be on, follow, nofollow or off")
        if self.metacopy:
            self._check_metacopy()
        if self.inode_index:
            self._check_index()
        if self.nfs_export:
            raise Unsupported("nfs_export=on: a FUSE mount can't give out lasting file handles")
        self._check_directories()

    def _check_metacopy(self) -> None:
        if self.dialect is not Dialect.OVERLAY:
            raise Unsupported(f"metacopy=on: {self.dialect.value}'s dialect does not know it")
        if self.redirect_dir not in (None, "on"):
            raise InvalidArgument(f"conflicting options: metacopy=on,redirect_dir={self.redirect_dir}")
        if self.userxattr:
            raise InvalidArgument("conflicting options: userxattr,metacopy=on")

    def _check_index(self) -> None:
        if self.dialect is not Dialect.OVERLAY:
            raise Unsupported(f"index=on: {self.dialect.value}'s dialect does not know it")
        if self.metacopy:
            raise Unsupported("index=on: not together with metacopy=on")
        if self.userxattr:
            raise Unsupported("index=on: needs trusted.overlay attributes, which exclude userxattr")

    def _check_directories(self) -> None:
        for path in (*self.lowerdirs, *(() if self.upperdir is None else (self.upperdir,))):
            if not os.path.isdir(path):
                raise InvalidArgument(f"{path!r} is not a directory")
