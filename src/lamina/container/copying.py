"""``docker cp``: what goes where, and the copying itself.

Docker's rules ("docker cp", section Extended description): a directory's content is copied when the source ends in
``/.``, a trailing slash on the destination asks for a directory, the last link of the source is not followed unless
asked.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator

from lamina import events
from lamina.container import opening, treetar
from lamina.container.parts import Parts
from lamina.container.record import Container
from lamina.container.treeextract import Extraction
from lamina.container.treetar import Entry
from lamina.errors import InvalidArgument, NotFound
from lamina.linux import openat2
from lamina.owners import SAME, Owners
from lamina.tarball import compression
from lamina.tarball.reader import TarReader
from lamina.typing import NamedTuple

#: How paths are resolved: inside a container, and on the host.
IN_CONTAINER = openat2.RESOLVE_IN_ROOT | openat2.RESOLVE_NO_MAGICLINKS
ON_HOST = 0
_MISSING = (errno.ENOENT, errno.ELOOP, errno.EXDEV)
_LINKS = 10


class NoSuchPath(NotFound):
    """Nothing in the container has that path."""

    def __init__(self, container: str, path: bytes) -> None:
        super().__init__(f"No such container:path: {container}:{os.fsdecode(path)}")


class BadCopy(InvalidArgument):
    """Source and destination don't fit."""


class Place(NamedTuple):
    """One side of a copy.

    :ivar root: descriptor that ``path`` is resolved from.
    :ivar path: absolute as seen from the root, links in the last component resolved as far as the rules say.
    :ivar mode: ``st_mode``; 0 when there is nothing.
    """

    root: int
    path: bytes
    resolve: int
    mode: int = 0

    @property
    def exists(self) -> bool:
        return self.mode != 0

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)


def look(place: Place, *, follow: bool) -> Place:
    """``place`` with what is there. Raises :class:`OSError` ``ENOTDIR`` for a path through, or ending as, a file."""
    flags = os.O_PATH | (0 if follow else os.O_NOFOLLOW)
    try:
        descriptor = openat2.openat2(place.root, place.path, flags, resolve=place.resolve)
    except OSError as error:
        if error.errno in _MISSING:
            return place._replace(mode=0)
        raise
    try:
        return place._replace(mode=os.fstat(descriptor).st_mode)
    finally:
        os.close(descriptor)


def followed(place: Place) -> Place:
    """The place that links in the last component lead to, also where nothing is there yet."""
    for _ in range(_LINKS):
        place = look(place, follow=False)
        if not stat.S_ISLNK(place.mode):
            return place
        target = os.fsencode(_read_link(place))
        if not target.startswith(b"/"):
            target = place.path.rpartition(b"/")[0] + b"/" + target
        place = place._replace(path=target)
    raise BadCopy("too many links")


def _read_link(place: Place) -> str:
    parent = treetar.open_parent(place.root, place.path, resolve=place.resolve)
    try:
        return os.readlink(os.fsdecode(_base(place.path)), dir_fd=parent)
    finally:
        os.close(parent)


def _base(path: bytes) -> bytes:
    return path.rstrip(b"/").rpartition(b"/")[2]


def wants_content(path: bytes) -> bool:
    """``dir/.``: the content of a directory instead of the directory."""
    return path == b"." or path.endswith(b"/.")


def wants_directory(path: bytes) -> bool:
    """``dir/``: it must be one."""
    return path.endswith(b"/") or wants_content(path)


class Target(NamedTuple):
    """Where entries go: into the directory ``path``, with the source's first component named ``name``."""

    path: bytes
    name: bytes


def target_of(source: Place, destination: Place) -> Target:
    """Docker's rules. Raises :class:`BadCopy` with docker's words."""
    content = wants_content(source.path)
    if destination.is_directory:
        return Target(destination.path, b"" if content else _base(source.path))
    if destination.exists and source.is_directory:
        raise BadCopy("cannot copy directory")
    parent, name = destination.path.rstrip(b"/").rpartition(b"/")[0] or b"/", _base(destination.path)
    if not destination.exists and not source.is_directory and wants_directory(destination.path):
        raise BadCopy("no such directory")
    if wants_directory(destination.path) and destination.exists:
        raise BadCopy("not a directory")
    return Target(parent, name)


def read(source: Place, name: bytes, mapping: Owners = SAME) -> Iterator[Entry]:
    """Entries of ``source``, its own under ``name``; only its content for ``b""``.

    :param mapping: who has files in the entries for those who have them here.
    """
    if source.is_directory:
        directory = openat2.openat2(source.root, source.path, os.O_RDONLY | os.O_DIRECTORY, resolve=source.resolve)
        base = b"."
    else:
        directory = treetar.open_parent(source.root, source.path, resolve=source.resolve)
        base = _base(source.path)
    try:
        yield from treetar.entries(directory, base, name, mapping)
    finally:
        os.close(directory)


def write(destination: Place, path: bytes, entries: Iterable[Entry], *, owners: bool, mapping: Owners = SAME) -> None:
    """Extract into the directory ``path`` of the destination's root; the others as for :class:`Extraction`."""
    try:
        directory = openat2.openat2(destination.root, path, os.O_RDONLY | os.O_DIRECTORY, resolve=destination.resolve)
    except NotADirectoryError:
        raise BadCopy("extraction point is not a directory") from None
    try:
        Extraction(directory, owners=owners, mapping=mapping).run(entries)
    finally:
        os.close(directory)


def entries_of(stream: Iterable[bytes]) -> Iterator[Entry]:
    """Entries of a tar stream, decompressed in this process where it is compressed (never by a program)."""
    reader = TarReader(compression.decompress(stream))
    for header in reader:
        yield header, (bytes(piece) for piece in reader.content())


# The two directions


def copy_from(parts: Parts, container: Container, shown: str, path: bytes, destination: Place, *, follow: bool) -> None:
    """Out of the container. ``shown`` is the container's name in messages."""
    with opening.opened(parts, container.id) as root:
        source = _container_source(root, shown, path, follow=follow)
        target = target_of(source, destination)
        write(destination, target.path, read(source, target.name), owners=False)
    events.note(parts.root, container, "archive-path")


def archive(parts: Parts, container: Container, shown: str, path: bytes, *, follow: bool) -> Iterator[Entry]:
    """Entries of a path in the container, under its last component."""
    with opening.opened(parts, container.id) as root:
        source = _container_source(root, shown, path, follow=follow)
        yield from read(source, b"." if wants_content(path) else _base(source.path) or b".", parts.root.owners)
    events.note(parts.root, container, "archive-path")


def _container_source(root: int, shown: str, path: bytes, *, follow: bool) -> Place:
    place = Place(root, _absolute(path), IN_CONTAINER)
    if follow:
        place = followed(place)
    try:
        place = look(place, follow=False)
    except NotADirectoryError:
        raise BadCopy(f"lstat {os.fsdecode(place.path)}: not a directory") from None
    if not place.exists:
        raise NoSuchPath(shown, place.path)
    return place


def copy_to(parts: Parts, container: Container, shown: str, path: bytes, source: Place) -> None:
    """Into the container."""
    with opening.opened(parts, container.id) as root:
        destination = _container_destination(root, path)
        target = target_of(source, destination)
        _check_writable(container, target.path)
        try:
            entries = read(source, target.name)
            write(destination, target.path, entries, owners=True, mapping=parts.root.owners)
        except FileNotFoundError as error:
            raise NoSuchPath(shown, os.path.normpath(target.path)) from error
    events.note(parts.root, container, "extract-to-dir")


def extract_to(parts: Parts, container: Container, shown: str, path: bytes, stream: Iterable[bytes]) -> None:
    """A tar stream into a directory of the container."""
    with opening.opened(parts, container.id) as root:
        destination = _container_destination(root, path)
        if not destination.is_directory:
            raise BadCopy(f'destination "{shown}:{os.fsdecode(path)}" must be a directory')
        _check_writable(container, destination.path)
        write(destination, destination.path, entries_of(stream), owners=True, mapping=parts.root.owners)
    events.note(parts.root, container, "extract-to-dir")


def _container_destination(root: int, path: bytes) -> Place:
    place = Place(root, _absolute(path), IN_CONTAINER)
    try:
        return followed(place)
    except OSError as error:
        if error.errno in (errno.ENOTDIR, *_MISSING):
            return place
        raise


def _absolute(path: bytes) -> bytes:
    return path if path.startswith(b"/") else b"/" + path


def _check_writable(container: Container, path: bytes) -> None:
    """Docker's answer for what the mount would refuse anyway."""
    text = os.path.normpath(os.fsdecode(path))
    inside = [
        point
        for destination, point in container.mount_points.items()
        if text == destination or text.startswith(destination + "/")
    ]
    if inside:
        deepest = max(inside, key=lambda point: len(str(point["Destination"])))
        if not deepest["RW"]:
            raise BadCopy("mounted volume is marked read-only")
    elif container.host_config.get("ReadonlyRootfs"):
        raise BadCopy("container rootfs is marked read-only")
