"""What a graph driver is: it turns a stack of layers into a directory.

A driver knows directories named by an id (a layer's *cache-id*, a container's *mount-id*), each with at most one
parent. It knows nothing of tars, digests or images. Every driver passes the conformance suite in ``tests/conformance``.
"""

from __future__ import annotations

from collections.abc import Iterator

from lamina.owners import Owners
from lamina.typing import ClassVar, NamedTuple, Protocol, cast


class DiffForm:
    """What :meth:`GraphDriver.diff_path` holds, and so how a layer is applied to it and read from it."""

    __slots__ = ("value",)

    #: Only what the layer changes, deletions as overlayfs whiteouts: siblings can be filled in any order.
    OVERLAY: ClassVar[DiffForm]
    #: The same, deletions as AUFS's whiteouts: files ``.wh.NAME``.
    AUFS: ClassVar[DiffForm]
    #: The whole tree, the parent's content included: the parent must be complete before ``create``.
    SNAPSHOT: ClassVar[DiffForm]
    ALL: ClassVar[tuple[DiffForm, ...]]

    def __init__(self, value: str) -> None:
        self.value = value

    @classmethod
    def of(cls, value: str) -> DiffForm:
        """The form whose ``value`` that is."""
        return next(form for form in cls.ALL if form.value == value)

    def __repr__(self) -> str:
        return f"DiffForm.{self.value.upper()}"


DiffForm.ALL = DiffForm.OVERLAY, DiffForm.AUFS, DiffForm.SNAPSHOT = tuple(
    map(DiffForm, ("overlay", "aufs", "snapshot"))
)


class Problem(NamedTuple):
    """One thing wrong on disk.

    :ivar kind: ``orphan`` (nothing refers to it), ``damaged`` (metadata that contradicts itself), ``missing``.
    :ivar path: absolute host path.
    :ivar what: one line for a person.
    :ivar repairable: whether :meth:`GraphDriver.repair` can mend it without losing content.
    """

    kind: str
    path: str
    what: str
    repairable: bool


class GraphDriver(Protocol):
    """Directories in stacks. Thread-safe, and safe between processes as long as two do not share an id."""

    #: Docker's name: ``overlay2``, ``fuse-overlayfs``, ``vfs``, ``aufs``.
    name: str
    #: Absolute host path of the driver's own directory: ``<root>/overlay2``.
    home: str
    form: DiffForm
    #: Who owns its files for those who own them in containers.
    owners: Owners

    def create(self, id: str, parent: str | None) -> None:
        """Make an empty layer ``id`` on top of ``parent``.

        Not atomic: after a crash :meth:`remove` cleans up whatever is there. Raises ``Conflict`` when ``id`` exists,
        ``NotFound`` when ``parent`` does not.
        """

    def create_read_write(self, id: str, parent: str | None) -> None:
        """The same for a container's writable layer, which is never a parent of anything but its container's."""

    def remove(self, id: str) -> None:
        """Delete ``id`` and what it holds, unmounting it first. Idempotent: an absent id is no error."""

    def exists(self, id: str) -> bool: ...

    def ids(self) -> Iterator[str]:
        """Every id that has something on disk, complete or not, in no particular order."""

    def parent_ids(self, id: str) -> list[str]:
        """Ids below ``id``, nearest first. Raises ``Corrupt`` when the metadata is damaged."""

    def written(self, id: str) -> list[str] | None:
        """Host paths of the files that making the empty layer ``id`` wrote, for a caller who puts them on disk.

        ``None`` where that takes :meth:`sync`.
        """

    def diff_path(self, id: str) -> str:
        """Absolute path of the directory that holds ``id``'s own content in the form that :attr:`form` says."""

    def mount(self, id: str, *, read_only: bool = False, volatile: bool = False) -> str:
        """Show ``id`` on top of its parents; return the absolute path of the merged directory.

        The mount is visible in the caller's mount namespace and lives until :meth:`unmount`, whatever process asks.
        Idempotent: an id that is mounted already returns the same path. ``volatile`` gives up durability of the
        writable layer for speed (``run --rm``, build steps).
        """

    def unmount(self, id: str) -> None:
        """Undo :meth:`mount` and remove the merged directory. Idempotent."""

    def is_mounted(self, id: str) -> bool: ...

    def metadata(self, id: str) -> dict[str, str]:
        """``GraphDriver.Data`` of ``docker inspect``: for overlay2 LowerDir, MergedDir, UpperDir, WorkDir."""

    def status(self) -> list[tuple[str, str]]:
        """Rows of ``docker info`` under the driver's name: ``("Backing Filesystem", "extfs")``."""

    def sync(self) -> None:
        """Put everything that was written below :attr:`home` on disk (one ``syncfs``)."""

    def problems(self, referenced: frozenset[str]) -> Iterator[Problem]:
        """What on disk is unaccounted for or damaged, given the ids that the layer store refers to."""

    def repair(self, problem: Problem) -> None:
        """Mend or reclaim one problem that :meth:`problems` called repairable."""

    def restore_parent(self, id: str, parent: str | None) -> None:
        """Write down again what ``id`` was made on, for a caller who knows it from the layer store.

        Mends what :meth:`problems` found damaged and could not derive by itself. ``parent`` must be intact.
        """


class Skeleton(NamedTuple):
    """Names that a layer is to have, whatever is below it.

    Paths are relative to its root; directories on the way, which have mode 0755 when they are made, are part of it.

    :ivar directories: a directory below is left, anything else is replaced.
    :ivar files: empty ones, mode 0755, for mounts to hide; likewise links, with their targets. A directory below is
        left, anything else is replaced.
    :ivar owner: user and group id of what is made; ``None`` for this process's.
    """

    directories: tuple[str, ...]
    files: tuple[str, ...]
    links: tuple[tuple[str, str], ...]
    owner: tuple[int, int] | None


class Prefilling(Protocol):
    """A driver that can make a few names in a layer without mounting it, which takes several times longer."""

    def prefill(self, id: str, skeleton: Skeleton) -> bool:
        """Make them in the empty layer ``id``, as if they had been made in the mounted one.

        ``False``, and nothing is made, where what is below is not as simple as in nearly every image.
        """


def prefilling(driver: GraphDriver) -> Prefilling | None:
    """``driver``, when it can do that."""
    return cast("Prefilling", driver) if hasattr(driver, "prefill") else None


class Interposing(Protocol):
    """A driver that can show a layer on top of another one than its parents."""

    def mount_above(self, id: str, between: str, *, volatile: bool = False) -> str:
        """:meth:`GraphDriver.mount`, with what the layer ``between`` changes shown between ``id`` and its parents.

        ``between`` was made on the same parents, or on some of them, and lives as long as the mount.
        """


def interposing(driver: GraphDriver) -> Interposing | None:
    """``driver``, when it can do that."""
    return cast("Interposing", driver) if hasattr(driver, "mount_above") else None
