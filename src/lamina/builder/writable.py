"""``RUN --mount=type=bind,rw``: what a command may write to, and nobody sees."""

from __future__ import annotations

import os
import shutil

from lamina.builder.job import StepMount
from lamina.graphdriver.treecopy import copy_tree

#: Characters that mean something in overlayfs's options.
_SPECIAL = frozenset(",:\\")


def discarded(target: str, source: str, space: str, *, overlay: bool) -> StepMount:
    """The mount of ``source`` at ``target``; changes go to ``space``, an empty directory that is removed afterwards.

    :param overlay: whether overlayfs works here; otherwise the directory is copied.
    """
    if not os.path.isdir(source):
        copy = f"{space}/file"
        copied(source, copy)
        return StepMount("bind", target, copy, read_only=False)
    if overlay and not _SPECIAL & set(source + space):
        upper, work = f"{space}/upper", f"{space}/work"
        os.mkdir(upper)
        os.mkdir(work)
        status = os.stat(source)
        os.chmod(upper, status.st_mode & 0o7777)
        os.chown(upper, status.st_uid, status.st_gid)
        options = f"lowerdir={source},upperdir={upper},workdir={work}"
        return StepMount("overlay", target, source, read_only=False, options=options)
    copy = f"{space}/data"
    copied(source, copy)
    return StepMount("bind", target, copy, read_only=False)


def copied(source: str, target: str, owner: tuple[int, int] | None = None) -> None:
    """A new ``target``, a copy of the file or of the directory ``source`` with everything in it.

    :param owner: of all of it; ``None`` keeps owners.
    """
    if not os.path.isdir(source):
        shutil.copy2(source, target, follow_symlinks=False)
        status = os.lstat(source)
        os.chown(target, *(owner or (status.st_uid, status.st_gid)), follow_symlinks=False)
        return
    os.mkdir(target)
    copy_tree(source, target)
    if owner is None:
        return
    for _, directories, names, descriptor in os.fwalk(target):
        os.fchown(descriptor, *owner)
        for name in (*directories, *names):
            os.chown(name, *owner, dir_fd=descriptor, follow_symlinks=False)
