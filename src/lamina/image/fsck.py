"""``lamina system fsck``: what on disk is unaccounted for or damaged, and its repair.

It goes from what refers to what is referred to, and repairs each kind before it looks for the next: the journal,
layers' metadata, names, images, containers' layers, layers that nothing needs, the graph driver's directories. Nothing
that an image or a container needs is ever deleted; what can't be mended is named and left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from lamina import atomicfile
from lamina.contextlib import AbstractContextManager, nullcontext
from lamina.digest import ImageID
from lamina.errors import TELLS_MORE, Corrupt, LaminaError, NotFound
from lamina.functools import partial
from lamina.graphdriver.removal import remove_tree
from lamina.image.database import DamagedImage, ImageNotFound, UnreadableImage
from lamina.image.recovery import leftovers, ownerless
from lamina.image.references import DamagedReferences
from lamina.image.store import FileImageStore
from lamina.layer import inspection
from lamina.layer.database import UnreadableLayer, list_directory
from lamina.layer.finding import DAMAGED, MISSING, ORPHAN, Finding, Report, Suspect
from lamina.layer.liveness import Running
from lamina.layer.scratch import scratch
from lamina.layer.sizes import size_of

Check = Callable[[], Iterable[Suspect]]
#: What to hold during a repair.
Lock = Callable[[], AbstractContextManager[None]]


def fsck(
    images: FileImageStore,
    *,
    deep: bool = False,
    repair: bool = False,
    before: Iterable[Check] = (),
    after: Iterable[Check] = (),
) -> Report:
    """Look at everything on the root; with ``repair`` mend and reclaim what can be.

    :param deep: also read all content and compare it with the digests.
    :param before: checks of what stands on images, such as containers. Their repairs take what locks they need.
    :param after: checks of what belongs to images and goes when they are gone; the same.
    :raises RootInUse: a repair while a dockerd works on the root; ``ReadOnlyRoot``.
    """
    first: list[Check] = [partial(_journal, images)]
    own = _checks(images, deep=deep)
    if not repair:
        return Report([_found(suspect) for check in (*first, *before, *own, *after) for suspect in check()])
    images.root.require_writable()
    with images.root.lock("fsck"):
        groups: list[tuple[Iterable[Check], Lock]]
        groups = [(first, images.lock), (before, nullcontext), (own, images.lock), (after, nullcontext)]
        return Report([found for checks, lock in groups for check in checks for found in _repaired(check, lock)])


def _checks(images: FileImageStore, *, deep: bool) -> list[Check]:
    workshop = images.layers.workshop
    return [
        partial(inspection.staging, workshop),
        partial(inspection.layers, workshop, deep=deep),
        partial(_names, images),
        partial(_images, images),
        partial(_debris, images),
        partial(_containers, images),
        partial(inspection.writables, workshop),
        partial(_unneeded_layers, images),
        partial(inspection.directories, workshop),
        partial(scratch, workshop),
        partial(_trash, images),
    ]


def _repaired(check: Check, lock: Lock) -> Iterator[Finding]:
    """What a check found and how the repair went. What was mended may show how to mend the rest, so it looks again."""
    mended: set[Finding] = set()
    while True:
        findings = [_mended(suspect, lock) for suspect in list(check())]
        progress = {finding for finding in findings if finding.repaired} - mended
        mended |= progress
        yield from (finding for finding in findings if finding in progress)
        if not progress or all(finding.repaired for finding in findings):
            yield from (finding for finding in findings if not finding.repaired)
            return


def _found(suspect: Suspect) -> Finding:
    what = suspect.what.removesuffix(TELLS_MORE)
    return Finding(suspect.kind, suspect.path, what, suspect.mend is not None, suspect.size)


def _mended(suspect: Suspect, lock: Lock) -> Finding:
    """Try the repair; the finding says how it went."""
    finding = _found(suspect)
    if suspect.mend is None:
        return finding
    try:
        with lock():
            suspect.mend()
    except (LaminaError, OSError) as error:
        return finding._replace(failure=str(error))
    return finding._replace(repaired=True)


def _journal(images: FileImageStore) -> Iterator[Suspect]:
    running = Running(images.layers.workshop)
    for token in sorted(running.dead):
        path = images.root.sub("lamina/journal", token)
        yield Suspect(ORPHAN, path, "an operation was interrupted", images.recover)


def _trash(images: FileImageStore) -> Iterator[Suspect]:
    trash = images.root.sub("lamina/trash")
    free = images.layers.workshop.trash.free
    for name in sorted(list_directory(trash)):
        path = f"{trash}/{name}"
        yield Suspect(ORPHAN, path, "removed, but not freed yet", partial(free, name), size_of(path))


def _names(images: FileImageStore) -> Iterator[Suspect]:
    """``repositories.json``: malformed, or naming images that do not exist."""
    repositories = images.repositories
    try:
        malformed = repositories.malformed()
        named = repositories.all()
    except DamagedReferences as error:
        yield Suspect(DAMAGED, repositories.path, str(error), repositories.replace)
        return
    for key in malformed:
        what = f"{key!r} is no name of an image"
        yield Suspect(DAMAGED, repositories.path, what, partial(repositories.forget, [key]))
    for reference, id in named.items():
        if not images.database.exists(id):
            what = f"{reference.familiar} names image {id}, which does not exist"
            yield Suspect(MISSING, repositories.path, what, partial(repositories.remove, reference))


def _images(images: FileImageStore) -> Iterator[Suspect]:
    """Configurations that are damaged, whose layers are missing, or whose parent does not exist."""
    database = images.database
    for id in sorted(images.ids()):
        path = database.path(id)
        try:
            image = images.get(id)
        except ImageNotFound:
            continue
        except UnreadableImage as error:
            yield Suspect(DAMAGED, path, str(error))
            continue
        except DamagedImage as error:
            yield Suspect(DAMAGED, path, str(error), partial(_forget_image, images, id), size_of(path))
            continue
        try:
            images.layers.stack(image.config.chain_id)
        except (NotFound, Corrupt) as error:
            yield Suspect(MISSING, path, f"the image can't be used: {error}")
        text = database.parent_text(id)
        parent = database.parent(id)
        if (text and parent is None) or (parent is not None and not database.exists(parent)):
            path = f"{database.metadata_path(id)}/parent"
            yield Suspect(DAMAGED, path, f"parent {text!r} does not exist", partial(database.forget_parent, id))


def _forget_image(images: FileImageStore, id: ImageID) -> None:
    """Remove an image whose configuration is lost: what it was made of can't be told any more."""
    for reference in images.references.of(id):
        images.references.remove(reference)
    images.delete(id)


def _debris(images: FileImageStore) -> Iterator[Suspect]:
    """Leftovers of interrupted writes."""
    for path in ownerless(images):
        what = "metadata of an image that does not exist"
        yield Suspect(ORPHAN, path, what, partial(remove_tree, path), size_of(path))
    for path in leftovers(images):
        remove = partial(atomicfile.is_leftover, path, remove=True)
        yield Suspect(ORPHAN, path, "left by an interrupted write", remove, size_of(path))


def _containers(images: FileImageStore) -> Iterator[Suspect]:
    """Directories of containers that do not exist, and containers that have lost their writable layer."""
    running = Running(images.layers.workshop)
    home = images.root.sub("containers")
    for name in sorted(list_directory(home)):
        path = f"{home}/{name}"
        if running.changes_container(name):
            continue
        if not images.root.has_container(name):
            what = "no container: its configuration is missing"
            yield Suspect(ORPHAN, path, what, partial(remove_tree, path), size_of(path))
        elif not images.layers.has_writable(name):
            what = f"the container has no writable layer; 'lamina rm -f {name}' removes it"
            yield Suspect(MISSING, path, what)


def _unneeded_layers(images: FileImageStore) -> Iterator[Suspect]:
    try:
        yield from inspection.unneeded(images.layers.workshop, images.needed_layers())
    except (UnreadableImage, UnreadableLayer):
        return  # the checks of images and layers name it
