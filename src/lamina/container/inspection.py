"""What can be wrong with containers on disk beyond their layers: traces of monitors that died."""

from __future__ import annotations

import os
from collections.abc import Iterator

from lamina.container import lifecycle
from lamina.container.parts import Parts
from lamina.container.store import DamagedContainer, NoSuchContainer
from lamina.errors import Corrupt, NotFound
from lamina.functools import partial
from lamina.layer.finding import DAMAGED, ORPHAN, Suspect
from lamina.layer.sizes import size_of
from lamina.linux import mount


def monitors(parts: Parts) -> Iterator[Suspect]:
    """Run directories, states and mounts that no living monitor answers for.

    On a root that can't be written a dockerd may be the one who answers: nothing is said then.
    """
    if parts.root.read_only:
        return
    home = parts.root.sub("lamina/run")
    for name in sorted(os.listdir(home)) if os.path.isdir(home) else ():
        if not parts.run_directory(name).alive():
            path = f"{home}/{name}"
            yield Suspect(ORPHAN, path, "left by a monitor that died", partial(_put_right, parts, name), size_of(path))
    for id in sorted(parts.store.ids()):
        yield from _container(parts, id)


def _container(parts: Parts, id: str) -> Iterator[Suspect]:
    run = parts.run_directory(id)
    try:
        container = parts.store.load(id)
    except NoSuchContainer:
        return
    except DamagedContainer as error:
        yield Suspect(DAMAGED, parts.store.directory(id), str(error))
        return
    if run.alive() or run.exists():
        return
    if container.running:
        what = "says that it is running, and nobody runs it"
        yield Suspect(DAMAGED, parts.store.directory(id), what, partial(_put_right, parts, id))
        return
    try:
        merged = parts.layers.driver.metadata(parts.layers.writable(id).mount_id).get("MergedDir", "")
    except (NotFound, Corrupt):
        return  # the layers' own findings say why
    if merged and mount.is_mount_point(merged) and not _is_in_use(parts, id):
        yield Suspect(ORPHAN, merged, "mounted for a container that does not run", partial(_unmount, parts, id))


def _is_in_use(parts: Parts, id: str) -> bool:
    """Whether it runs once whoever holds the container now, to start it for example, is done."""
    try:
        with parts.store.lock(id):
            return parts.run_directory(id).alive()
    except NoSuchContainer:
        return True


def _put_right(parts: Parts, id: str) -> None:
    """End what is left of a run, and note it in the container's state where there is one."""
    try:
        lifecycle.current(parts, id)
    except (NoSuchContainer, DamagedContainer):
        run = parts.run_directory(id)
        if not run.alive() and run.exists():
            parts.runtime().delete(id, run.path)
            run.remove()


def _unmount(parts: Parts, id: str) -> None:
    with parts.store.lock(id):
        if not parts.run_directory(id).alive():
            parts.layers.unmount(id)
