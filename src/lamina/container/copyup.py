"""A new volume gets what the image has at its destination, with the directory's owner and mode."""

from __future__ import annotations

import errno
import os
import stat

from lamina.graphdriver.treecopy import TreeCopy
from lamina.linux import openat2

_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV)


def copy_up(root: int, target: str, volume: str) -> None:
    """Copy the directory ``target`` of the root file system into the volume's directory, if that is empty.

    ``target`` is resolved inside the root: a link there can't make a host directory the source.
    """
    try:
        source = openat2.open_in_root(root, target, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        if error.errno in _NOT_THERE:
            return
        raise
    try:
        if os.listdir(volume):
            return
        TreeCopy(openat2.descriptor_path(source) + "/.", volume).run()
        status = os.fstat(source)
        os.chown(volume, status.st_uid, status.st_gid)
        os.chmod(volume, stat.S_IMODE(status.st_mode))
    finally:
        os.close(source)
