"""What an interrupted operation left, by its journal entry."""

from __future__ import annotations

import os
from collections.abc import Iterable

from lamina.atomicfile import TEMPORARY_PREFIX
from lamina.errors import Corrupt
from lamina.graphdriver.removal import remove_tree
from lamina.layer.database import DamagedLayer, MountNotFound, UnreadableLayer, list_directory
from lamina.layer.journal import Entry
from lamina.layer.ownership import correct, homeless, referenced_ids
from lamina.layer.workshop import Workshop
from lamina.layer.writable import CONTAINER_NOTE
from lamina.runtime import program


class UnknownContent(Corrupt):
    """Nobody can say whose directory it is, so it is not deleted."""

    def __init__(self, home: str, whose: str) -> None:
        super().__init__(f"{home}: what nothing refers to may be the content of {whose}, which is damaged")


def reclaim(workshop: Workshop, entry: Entry) -> None:
    """Remove what a dead entry accounts for and nothing refers to. The caller holds the entry's lock and closes it.

    Layers that it published are complete; whether an image needs them is for ``release`` to find out.
    """
    for container_id in entry.notes(CONTAINER_NOTE):
        if not workshop.root.has_container(container_id):
            _remove_container(workshop, container_id)
    _end_build_steps(workshop, entry.token)
    _remove_directories(workshop, entry.token)
    _remove_unfinished_files(workshop, entry.token)
    for path in workshop.database.staging():
        if path.rpartition("/")[2].startswith(entry.token):
            remove_tree(path)


def _remove_container(workshop: Workshop, container_id: str) -> None:
    """A container that never came to exist, or was being removed, if need be by its monitor after its last run."""
    _end_run(workshop.root.sub("lamina/run", container_id))
    try:
        mounted = workshop.database.read_mount(container_id)
        workshop.driver.unmount(mounted.mount_id)
    except (UnreadableLayer, MountNotFound):
        pass
    except DamagedLayer:
        correct(workshop, container_id)
    workshop.trash.discard(workshop.database.mount_path(container_id))
    workshop.trash.discard(workshop.root.sub("containers", container_id))


def _end_build_steps(workshop: Workshop, token: str) -> None:
    """Containers of a build whose warden was killed too, and their run directories."""
    home = workshop.root.sub("lamina/run")
    for name in list_directory(home):
        if name.startswith(token):
            _end_run(f"{home}/{name}")


def _end_run(directory: str) -> None:
    """Nobody lives who would end what runs with this run directory, if there is one."""
    if os.path.exists(f"{directory}/config.json"):
        program.find().delete(os.path.basename(directory), directory)
    remove_tree(directory)


def _remove_directories(workshop: Workshop, token: str) -> None:
    """Directories of the graph driver that have the token's name and that no layer refers to."""
    found = [id for id in workshop.driver.ids() if id.startswith(token)]
    if found:
        remove_unreferenced(workshop, found)


def remove_unreferenced(workshop: Workshop, ids: Iterable[str]) -> None:
    """Remove those directories of the graph driver that no layer refers to. Raises :class:`UnknownContent`."""
    unreferenced = sorted(set(ids) - referenced_ids(workshop))
    unknown = homeless(workshop) if unreferenced else []
    if unknown:
        raise UnknownContent(workshop.driver.home, unknown[0])
    for id in unreferenced:
        workshop.driver.remove(id)


def _remove_unfinished_files(workshop: Workshop, token: str) -> None:
    """Files beside the graph driver's layers that were being written about one of the operation's layers."""
    for directory in (workshop.driver.home, f"{workshop.driver.home}/parent"):
        for name in list_directory(directory):
            if name.startswith(TEMPORARY_PREFIX + token):
                remove_tree(f"{directory}/{name}")
