"""Copying a layer's tree: everything that an image's file can have.

Content (as a reflink where the file system can, holes kept), hard links, devices, fifos and sockets, owner, mode,
times to the nanosecond and extended attributes with ACLs and capabilities. Works relative to two descriptors, so depth
and path length are no limit, and nothing is followed.
"""

from __future__ import annotations

import errno
import os
import stat

from lamina.graphdriver.removal import remove_tree
from lamina.linux.files import copy_data
from lamina.linux.openat2 import descriptor_path

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW

#: First characters of the folder that hard links are collected in while a copy runs.
_LINKS_PREFIX = ".lamina-links-"

#: An attribute that belongs to the place instead of the file, or that the file system can't have.
_SKIPPED_ATTRIBUTE_ERRORS = (errno.EOPNOTSUPP, errno.EINVAL)


class _Level:
    """A directory on the way down: its name, its status at the source, the subdirectories still to do."""

    __slots__ = ("name", "status", "target_identity", "todo")

    def __init__(self, name: str, status: os.stat_result, target: int, todo: list[str]) -> None:
        self.name = name
        self.status = status
        self.target_identity = _identity(target)
        self.todo = todo


class TreeCopy:
    """One copy of the directory ``source`` into the existing, empty directory ``target``."""

    def __init__(self, source: str, target: str) -> None:
        self._source = source
        self._target = target
        self._links_path = os.path.join(target, _LINKS_PREFIX + os.urandom(4).hex())
        self._links = -1
        self._linked: set[tuple[int, int]] = set()

    def run(self) -> None:
        """Copy everything. Raises :class:`OSError`; the target is then incomplete."""
        source = os.open(self._source, _DIRECTORY)
        try:
            target = os.open(self._target, _DIRECTORY)
        except BaseException:
            os.close(source)
            raise
        try:
            self._descend(source, target)
        finally:
            if self._links >= 0:
                os.close(self._links)
                remove_tree(self._links_path)
        _copy_attributes_of_root(self._source, self._target)

    def _descend(self, source: int, target: int) -> None:
        """Walk depth first with one pair of descriptors, which this takes over."""
        try:
            levels = [_Level("", os.fstat(source), target, self._copy_entries(source, target))]
            while True:
                level = levels[-1]
                if level.todo:
                    name = level.todo.pop()
                    status = os.stat(name, dir_fd=source, follow_symlinks=False)
                    source = _replace_source(source, name)
                    os.mkdir(name, 0o700, dir_fd=target)
                    target = _replace(target, name)
                    todo = self._copy_entries(source, target)
                    levels.append(_Level(name, status, target, todo))
                    continue
                if len(levels) == 1:
                    return
                source, target = _leave(source, target, level.status)
                levels.pop()
                if _identity(source) != _key(levels[-1].status) or _identity(target) != levels[-1].target_identity:
                    raise OSError(errno.ESTALE, "directory was moved while it was being copied", level.name)
        finally:
            os.close(source)
            os.close(target)

    def _copy_entries(self, source: int, target: int) -> list[str]:
        """Copy everything in one directory that is no directory; the names of those that are."""
        directories = []
        with os.scandir(source) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    directories.append(entry.name)
                else:
                    self._copy_entry(source, target, entry.name, entry.stat(follow_symlinks=False))
        return directories

    def _copy_entry(self, source: int, target: int, name: str, status: os.stat_result) -> None:
        key = _key(status)
        collected = f"{key[0]:x}-{key[1]:x}"
        if key in self._linked:
            os.link(collected, name, src_dir_fd=self._links, dst_dir_fd=target, follow_symlinks=False)
            return
        if stat.S_ISREG(status.st_mode):
            _copy_file(source, target, name, status)
        else:
            _copy_special(source, target, name, status)
        if status.st_nlink > 1:
            self._open_links()
            os.link(name, collected, src_dir_fd=target, dst_dir_fd=self._links, follow_symlinks=False)
            self._linked.add(key)

    def _open_links(self) -> None:
        """The folder where the first copy of each multiply linked file has a name that later ones link to."""
        if self._links < 0:
            os.mkdir(self._links_path, 0o700)
            self._links = os.open(self._links_path, _DIRECTORY)


def copy_tree(source: str, target: str) -> None:
    """Copy the directory ``source`` with all it holds into the existing, empty directory ``target``."""
    TreeCopy(source, target).run()


def _replace(descriptor: int, name: str) -> int:
    """Open ``name`` in the directory and close the directory; on an error it stays open."""
    opened = os.open(name, _DIRECTORY, dir_fd=descriptor)
    os.close(descriptor)
    return opened


def _leave(source: int, target: int, status: os.stat_result) -> tuple[int, int]:
    """Finish a directory and go up on both sides; the parents' descriptors replace those given.

    The way up is opened first: the mode that the directory gets may close it.
    """
    above = os.open("..", _DIRECTORY, dir_fd=source)
    try:
        target_above = os.open("..", _DIRECTORY, dir_fd=target)
        try:
            _copy_attributes(source, target, status)
            if os.fstat(source).st_mode != status.st_mode:
                os.fchmod(source, stat.S_IMODE(status.st_mode))
        except BaseException:
            os.close(target_above)
            raise
    except BaseException:
        os.close(above)
        raise
    os.close(source)
    os.close(target)
    return above, target_above


def _replace_source(descriptor: int, name: str) -> int:
    """:func:`_replace` for a directory of the source, whatever its mode; whoever leaves it restores that."""
    opened = _open_source(descriptor, name, _DIRECTORY)
    os.close(descriptor)
    return opened


def _open_source(directory: int, name: str, flags: int) -> int:
    """Open what may forbid its owner to read it: without root's rights its mode is another for as long as needed."""
    try:
        return os.open(name, flags, dir_fd=directory)
    except PermissionError:
        mode = stat.S_IMODE(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)
        os.chmod(name, mode | 0o500, dir_fd=directory)
        try:
            return os.open(name, flags, dir_fd=directory)
        finally:
            if not flags & os.O_DIRECTORY:
                os.chmod(name, mode, dir_fd=directory)


def _key(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _identity(descriptor: int) -> tuple[int, int]:
    return _key(os.fstat(descriptor))


def _copy_file(source: int, target: int, name: str, status: os.stat_result) -> None:
    reading = _open_source(source, name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        writing = os.open(name, flags, 0o600, dir_fd=target)
        try:
            if status.st_size:
                copy_data(reading, writing)
            _copy_attributes(reading, writing, status)
        finally:
            os.close(writing)
    finally:
        os.close(reading)


def _copy_special(source: int, target: int, name: str, status: os.stat_result) -> None:
    """A symbolic link, device, fifo or socket."""
    is_link = stat.S_ISLNK(status.st_mode)
    if is_link:
        os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
    else:
        os.mknod(name, stat.S_IFMT(status.st_mode) | 0o600, status.st_rdev, dir_fd=target)
    os.chown(name, status.st_uid, status.st_gid, dir_fd=target, follow_symlinks=False)
    if not is_link:
        os.chmod(name, stat.S_IMODE(status.st_mode), dir_fd=target)
    _copy_extended_attributes(f"{descriptor_path(source)}/{name}", f"{descriptor_path(target)}/{name}")
    times = (status.st_atime_ns, status.st_mtime_ns)
    os.utime(name, ns=times, dir_fd=target, follow_symlinks=False)


def _copy_attributes_of_root(source: str, target: str) -> None:
    """The top directory's own; last, because everything that was made in it changed its times."""
    reading = os.open(source, _DIRECTORY)
    try:
        writing = os.open(target, _DIRECTORY)
        try:
            _copy_attributes(reading, writing, os.fstat(reading))
        finally:
            os.close(writing)
    finally:
        os.close(reading)


def _copy_attributes(source: int, target: int, status: os.stat_result) -> None:
    """Owner first: changing it takes set-user-id bits and capabilities away."""
    os.fchown(target, status.st_uid, status.st_gid)
    os.fchmod(target, stat.S_IMODE(status.st_mode))
    _copy_extended_attributes(source, target)
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def _copy_extended_attributes(source: int | str, target: int | str) -> None:
    """Between descriptors, or between paths whose last component is not followed."""
    follow = isinstance(source, int)
    try:
        names = os.listxattr(source, follow_symlinks=follow)
    except OSError as error:
        if error.errno in _SKIPPED_ATTRIBUTE_ERRORS:
            return
        raise
    for name in names:
        try:
            value = os.getxattr(source, name, follow_symlinks=follow)
            os.setxattr(target, name, value, follow_symlinks=follow)
        except OSError as error:
            if error.errno not in _SKIPPED_ATTRIBUTE_ERRORS:
                raise
