"""Carrying out what a step is to do, in its workspace. Only imported when something is not in the cache."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable

from lamina.builder import running
from lamina.builder.copying import Copier, Manner
from lamina.builder.job import Job
from lamina.builder.progress import StepProgress
from lamina.builder.session import Session
from lamina.builder.work import CopyFiles, MakeDirectory, Work
from lamina.container import rootfs, users
from lamina.errors import Unsupported
from lamina.owners import Owners
from lamina.runtime import cgroup


def initialiser(work: Work, session: Session) -> Callable[[str], None] | None:
    """What has to be in the layer below the step's own.

    For a command the wait for the control groups and the network begins here: it passes while the workspace is made.
    """
    if isinstance(work, Job):
        cgroup.warm_up(seconds=0)  # once: the runtime comes soon
        if work.network == "default":
            session.warden.connect()
    return running.initialiser(work.mounts, session.root.owners) if isinstance(work, Job) else None


def perform(work: Work, session: Session, path: str, progress: StepProgress) -> None:
    """Change the files of the workspace at host path ``path``."""
    if isinstance(work, Job):
        place = session.place() if work.network == "default" else None
        if place and place.problem and session.root.owners.are_mapped:
            raise Unsupported(f"containers with userns-remap can't have the host's network: {place.problem}")
        running.run(
            session.root,
            session.warden,
            path,
            work._replace(network="host") if place and place.problem else work,
            progress.output,
            id=session.new_id(),
            meanwhile=session.tidy,
            place=place,
            configuration=session.configuration,
        )
        return
    root = rootfs.open_root(path)
    try:
        if isinstance(work, MakeDirectory):
            user = users.resolve(root, work.user)
            owner = session.root.owners.on_host(user.uid, user.gid)
            rootfs.check_working_directory(root, work.path, owner=owner)
        else:
            _copy(work, root, session.root.owners)
    finally:
        os.close(root)


def _copy(work: CopyFiles, root: int, owners: Owners) -> None:
    owner: tuple[int, int] | None = (0, 0)
    if work.chown:
        owner = users.ownership(root, work.chown)
    elif work.keep_owner:
        owner = None
    copier = Copier(root, Manner(owner, work.mode, work.excludes, owners))
    try:
        for piece in work.selection.pieces():
            copier.copy(piece, work.target)
        for inline in work.contents:
            content = inline.content.encode("utf-8", "surrogateescape")
            copier.write(work.target, posixpath.basename(inline.path), content)
    finally:
        copier.close()
