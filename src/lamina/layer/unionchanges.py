"""What ``docker diff`` lists for an upper directory of either dialect, redirected directories included.

Two unions are compared, one with the upper directory and one without it, where the upper directory has something.
"""

from __future__ import annotations

import os
import stat

from lamina.contextlib import ExitStack
from lamina.layer.below import capability
from lamina.layer.changes import Listing, differs
from lamina.layer.contract import Change
from lamina.unionfs.node import DirectoryNode
from lamina.unionfs.options import MountOptions
from lamina.unionfs.union import Union


def union_changes(options: MountOptions) -> list[Change]:
    """What the upper directory of ``options`` changes in the lower ones. Writes nothing.

    Raises what :class:`Union` raises.
    """
    if options.upperdir is None:
        return []
    whole = options._replace(read_only=True)
    with ExitStack() as stack:
        new = stack.enter_context(Union(whole))
        old = None
        if options.lowerdirs:
            old = stack.enter_context(Union(whole._replace(upperdir=None, workdir=None)))
        return _Comparison(new, old).changes()


class _Comparison:
    def __init__(self, new: Union, old: Union | None) -> None:
        self._new = new
        self._old = old
        self._listing = Listing()

    def changes(self) -> list[Change]:
        """Everything that differs, sorted by path."""
        pending = [b""]
        while pending:
            pending += self._directory(pending.pop())
        return self._listing.sorted()

    def _directory(self, path: bytes) -> list[bytes]:
        """Compare a directory's names; those of directories that may differ below."""
        before = self._names_before(path)
        same_below = self._same_below(path)
        deeper = []
        for name in self._new.listdir(path):
            inner = path + b"/" + name if path else name
            existed = name in before
            before.discard(name)
            if same_below and not self._new.node(inner).upper:
                continue  # not in the upper directory
            status = self._compare(inner, existed)
            if stat.S_ISDIR(status.st_mode):
                deeper.append(inner)
        for name in before:
            self._listing.add(path + b"/" + name if path else name, "D")
        return deeper

    def _same_below(self, path: bytes) -> bool:
        """Whether the directory ``path`` merges with the same lower directories with and without the upper one."""
        if self._old is None or not self._old.exists(path):
            return False
        with_upper, without = self._new.node(path), self._old.node(path)
        if not isinstance(with_upper, DirectoryNode) or not isinstance(without, DirectoryNode):
            return False
        below = [(lower.layer.path, lower.path) for lower in with_upper.lowers]
        return below == [(lower.layer.path, lower.path) for lower in without.lowers]

    def _names_before(self, path: bytes) -> set[bytes]:
        if self._old is None or not self._old.exists(path) or not stat.S_ISDIR(self._old.lstat(path).st_mode):
            return set()
        return set(self._old.listdir(path))

    def _compare(self, path: bytes, existed: bool) -> os.stat_result:
        status = self._status(self._new, path)
        if not existed:
            self._listing.add(path, "A")
        else:
            assert self._old is not None
            before = self._status(self._old, path)
            if differs(status, before) or self._capability(self._new, path) != self._capability(self._old, path):
                self._listing.add(path, "C")
        return status

    @staticmethod
    def _status(union: Union, path: bytes) -> os.stat_result:
        return union.tree.status(union.node(path))

    @staticmethod
    def _capability(union: Union, path: bytes) -> bytes:
        node = union.node(path)
        return capability(union.tree.proc_path(node), union.tree.status(node))
