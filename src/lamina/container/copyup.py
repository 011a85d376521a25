"""An empty volume gets what the image has at its destination, with the directory's owner and mode."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator

from lamina.contextlib import contextmanager
from lamina.errors import InvalidArgument, LaminaError
from lamina.graphdriver.treecopy import TreeCopy
from lamina.linux import openat2

_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV)


class NotPopulated(InvalidArgument):
    """The place for the content can't be reached."""


def copy_up(root: int, target: str, volume: str, subpath: str = "") -> None:
    """Copy the directory ``target`` of the root file system into the volume's directory, if that is empty.

    ``target`` is resolved inside the root: a link there can't make a host directory the source.

    :param subpath: the directory below ``volume`` that is meant instead; nothing is done where it is none.
    :raises NotPopulated: ``subpath`` leads out of the volume.
    """
    try:
        source = openat2.open_in_root(root, target, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        if error.errno in _NOT_THERE:
            return
        raise
    try:
        if not subpath:
            _fill(source, volume)
            return
        with _opened(volume, subpath) as directory:
            if directory:
                _fill(source, directory)
    finally:
        os.close(source)


def _fill(source: int, target: str) -> None:
    if os.listdir(target):
        return
    TreeCopy(openat2.descriptor_path(source) + "/.", target).run()
    status = os.fstat(source)
    os.chown(target, status.st_uid, status.st_gid)
    os.chmod(target, stat.S_IMODE(status.st_mode))


@contextmanager
def _opened(volume: str, subpath: str) -> Iterator[str]:
    """A path to the directory that no change of names in the volume redirects; ``""`` without such a directory."""
    from lamina.container import subpaths  # few volumes need it

    try:
        descriptor = subpaths.resolve(volume, subpath)
    except subpaths.NotAccessible:  # the start says so
        yield ""
        return
    except LaminaError as error:
        raise NotPopulated(f"failed to populate volume: {error}") from error
    try:
        is_directory = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        yield openat2.descriptor_path(descriptor) + "/." if is_directory else ""
    finally:
        os.close(descriptor)
