"""Showing other owners and link counts than the layers have.

The switches are fuse-overlayfs's: ``squash_to_root``, ``squash_to_uid``, ``squash_to_gid``, ``uidmapping``,
``gidmapping`` and ``static_nlink`` (``fuse-overlayfs(1)``). The kernel checks permissions by what is shown.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable

from lamina.typing import NamedTuple
from lamina.unionfs.node import DirectoryNode
from lamina.unionfs.options import Dialect, IdRange, MountOptions
from lamina.unionfs.tree import Tree

#: Shown for an owner that no range has (``/proc/sys/kernel/overflowuid``).
_NOBODY = 65534


class IdMap(NamedTuple):
    """One kind of number, users' or groups'."""

    squash: int | None = None
    #: Empty: numbers are shown as they are.
    ranges: tuple[IdRange, ...] = ()

    def shown(self, number: int) -> int:
        """What a layer's ``number`` is shown as."""
        if self.squash is not None:
            return self.squash
        for first, shown, count in self.ranges:
            if first <= number < first + count:
                return shown + number - first
        return _NOBODY if self.ranges else number

    def stored(self, number: int) -> int:
        """The number in a layer that is shown as ``number``; ``EOVERFLOW`` when there is none."""
        for first, shown, count in self.ranges:
            if shown <= number < shown + count:
                return first + number - shown
        if self.ranges:
            raise OSError(errno.EOVERFLOW, os.strerror(errno.EOVERFLOW))
        return number


class Owners(NamedTuple):
    """Both kinds."""

    users: IdMap
    groups: IdMap

    @classmethod
    def of(cls, options: MountOptions) -> Owners:
        return cls(
            IdMap(options.squash_uid, _ranges(options.uid_mapping)),
            IdMap(options.squash_gid, _ranges(options.gid_mapping)),
        )

    @property
    def plain(self) -> bool:
        """Whether every owner is shown as it is."""
        return self == _PLAIN


def directory_links(tree: Tree, node: DirectoryNode, links: int) -> int:
    """The number of links to show for a directory whose upper or topmost version has ``links``.

    As in the kernel's overlayfs it is 1 for a merged directory; fuse-overlayfs counts subdirectories.
    """
    if tree.options.static_nlink:
        return 1
    if tree.options.dialect is Dialect.FUSE_OVERLAYFS:
        return 2 + sum(entry.kind == stat.S_IFDIR for entry in tree.listing(node))
    return 1 if node.lowers else links


_PLAIN = Owners(IdMap(), IdMap())


def _ranges(found: Iterable[Iterable[int]]) -> tuple[IdRange, ...]:
    return tuple(IdRange(*numbers) for numbers in found)
