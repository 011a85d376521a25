"""Copying what a union shows into one plain directory, marks gone."""

from __future__ import annotations

import errno
import os
import stat

from lamina.errors import Conflict
from lamina.linux.files import copy_data
from lamina.unionfs.options import MountOptions
from lamina.unionfs.union import Union

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_UNWRITABLE = (errno.EOPNOTSUPP, errno.EPERM)


class TargetNotEmpty(Conflict):
    """What would be merged into something else."""


def flatten(options: MountOptions, target: str) -> None:
    """Make ``target``, absent or an empty directory, the tree that ``options`` show: hard links, holes, times, all.

    Not atomic. Raises :class:`TargetNotEmpty`, what :class:`Union` raises, and :class:`OSError`.
    """
    os.makedirs(target, exist_ok=True)
    if os.listdir(target):
        raise TargetNotEmpty(f"{target} is not empty")
    with Union(options._replace(read_only=True)) as union:
        _Copy(union, target).run()


class _Copy:
    def __init__(self, union: Union, target: str) -> None:
        self._union = union
        self._target = os.fsencode(target)
        #: Where a file with several names was put, by its number.
        self._linked: dict[int, bytes] = {}

    def run(self) -> None:
        directories = []
        for path, entries in self._union.walk():
            directories.append(path)
            for entry in entries:
                self._entry(path + b"/" + entry.name if path else entry.name, entry.kind)
        for path in reversed(directories):
            self._metadata(path)

    def _entry(self, path: bytes, kind: int) -> None:
        place = self._place(path)
        if kind == stat.S_IFDIR:
            os.mkdir(place, 0o700)
            return
        status = self._union.lstat(path)
        if status.st_nlink > 1:
            first = self._linked.setdefault(status.st_ino, place)
            if first != place:
                os.link(first, place, follow_symlinks=False)
                return
        if kind == stat.S_IFREG:
            self._file(path, place)
        elif kind == stat.S_IFLNK:
            os.symlink(self._union.readlink(path), place)
        else:
            os.mknod(place, kind | 0o600, status.st_rdev)
        self._metadata(path)

    def _file(self, path: bytes, place: bytes) -> None:
        source = self._union.open(path, os.O_RDONLY)
        try:
            target = os.open(place, _CREATE, 0o600)
            try:
                copy_data(source, target)
            finally:
                os.close(target)
        finally:
            os.close(source)

    def _metadata(self, path: bytes) -> None:
        status, place = self._union.lstat(path), self._place(path)
        if os.geteuid() == 0:
            os.chown(place, status.st_uid, status.st_gid, follow_symlinks=False)
        for name in self._union.listxattr(path):
            try:
                os.setxattr(place, name, self._union.getxattr(path, name), follow_symlinks=False)
            except OSError as error:
                if error.errno not in _UNWRITABLE:
                    raise
        if not stat.S_ISLNK(status.st_mode):
            os.chmod(place, stat.S_IMODE(status.st_mode))
        os.utime(place, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)

    def _place(self, path: bytes) -> bytes:
        return self._target + b"/" + path if path else self._target
