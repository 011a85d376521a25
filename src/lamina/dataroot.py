"""One data root: where it is, who may write to it, and its locks.

The layout, with the modes that dockerd 20.10 makes::

    <root>/             0710
    image/<driver>/     0700    repositories.json, imagedb/, layerdb/, distribution/
    containers/         0710
    volumes/            0701
    tmp/                0700
    lamina/             0700    ours alone: locks/, journal/, trash/, index/

A running dockerd holds an exclusive ``flock`` on ``volumes/metadata.db`` and on its build cache's databases (bbolt
takes it; on ``network/files/local-kv.db`` only while that is used). Whoever writes here holds a shared lock on the same
files for as long, so that the two exclude each other in both directions: lamina refuses to write under a dockerd, and a
dockerd that is started in the middle of a write gives up.
"""

from __future__ import annotations

import fcntl
import os
from _thread import allocate_lock, get_ident
from collections.abc import Iterator

from lamina.contextlib import contextmanager
from lamina.errors import NotFound, Unavailable, Unsupported
from lamina.filelock import open_lock
from lamina.owners import SAME, Owners
from lamina.typing import NamedTuple

#: Databases that a dockerd of any version since 17.06 locks, relative to the root.
_DOCKERD_DATABASES = ("volumes/metadata.db", "network/files/local-kv.db", "buildkit/snapshots.db", "buildkit/cache.db")

#: Directories at the top and their modes.
_TOP = (
    ("image", 0o700),
    ("containers", 0o710),
    ("volumes", 0o701),
    ("tmp", 0o700),
    ("lamina", 0o700),
    ("lamina/locks", 0o700),
    ("lamina/journal", 0o700),
    ("lamina/index", 0o700),
    ("lamina/trash", 0o700),
)

#: Directories below ``image/<driver>`` and their modes.
_STORE = (
    ("", 0o700),
    ("distribution", 0o700),
    ("imagedb", 0o700),
    ("imagedb/content", 0o700),
    ("imagedb/content/sha256", 0o700),
    ("imagedb/metadata", 0o700),
    ("imagedb/metadata/sha256", 0o700),
    ("layerdb", 0o700),
    ("layerdb/sha256", 0o755),
    ("layerdb/mounts", 0o755),
    ("layerdb/tmp", 0o755),
)


class RootInUse(Unavailable):
    """A running dockerd works on this root."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"data root {path} is in use by a running dockerd: it can be read, not changed; "
            "stop the dockerd or choose another root"
        )


class ReadOnlyRoot(Unsupported):
    """The root's file system, or this user's rights, do not allow writing."""

    def __init__(self, path: str) -> None:
        super().__init__(f"data root {path} is not writable for this user: read-only file system or missing rights")


class _Held(NamedTuple):
    """A lock that one thread has: its descriptor and how many times it was taken."""

    descriptor: int
    depth: int


class DataRoot:
    """One data root.

    :ivar path: absolute path.
    :ivar driver_name: Docker's name of the graph driver whose stores are in use; ``""`` until :meth:`prepare`.
    :ivar owners: who owns files here for those who own them in containers.
    """

    def __init__(self, path: str, driver_name: str = "", owners: Owners = SAME) -> None:
        self.path = path
        self.driver_name = driver_name
        self.owners = owners
        self._held: dict[tuple[int, str], _Held] = {}
        self._guards: list[int] = []
        self._writers = 0
        self._mutex = allocate_lock()

    @classmethod
    def open(cls, path: str, *, create: bool = True, driver: str | None = None, owners: Owners = SAME) -> DataRoot:
        """The root at ``path``, made when it is absent and ``create`` says so.

        :raises NotFound: it is absent and not to be made.
        :raises ReadOnlyRoot: it can't be made.
        """
        path = os.path.abspath(path)
        root = cls(path, driver or "", owners)
        if not os.path.isdir(path):
            if not create:
                raise NotFound(f"data root {path} does not exist")
            try:
                os.makedirs(path, 0o710)
            except OSError as error:
                raise ReadOnlyRoot(path) from error
            os.chmod(path, 0o710)
        if driver:
            root.prepare(driver)
        return root

    def sub(self, *parts: str) -> str:
        """Absolute path of ``parts`` below the root."""
        return "/".join((self.path, *parts))

    def store(self, *parts: str) -> str:
        """Absolute path of ``parts`` below ``image/<driver>``."""
        return "/".join((self.path, "image", self.driver_name, *parts))

    def let_through(self, path: str) -> None:
        """Let the runtime, which comes as the containers' root, go through ``path`` and what is above it in here."""
        if not self.owners.are_mapped:
            return
        while path != self.path:
            os.chown(path, -1, self.owners.root[1])
            os.chmod(path, os.stat(path).st_mode & 0o7777 | 0o010)
            path = os.path.dirname(path)

    def has_container(self, container_id: str) -> bool:
        """Whether a container exists: its configuration is there."""
        return os.path.exists(self.sub("containers", container_id, "config.v2.json"))

    def prepare(self, driver_name: str) -> None:
        """Choose the driver and make whatever directories are missing. Does nothing on a root that can't be written."""
        self.driver_name = driver_name
        last = self.store("layerdb/tmp")
        if os.path.isdir(last) and os.path.isdir(self.sub("lamina/trash")):
            return
        if self.read_only:
            return
        for name, mode in _TOP:
            _make(self.sub(name), mode)
        self.let_through(self.sub("containers"))
        for name, mode in _STORE:
            _make(self.store(name) if name else self.store(), mode)
        for name in ("store", "trash"):
            os.close(open_lock(self.sub("lamina/locks", name)))  # now, not when the disk is full

    # Who may write

    @property
    def read_only(self) -> bool:
        """Whether nothing may be changed: a dockerd works here, or the file system or the user's rights forbid it."""
        return not os.access(self.path, os.W_OK) or self.dockerd_is_running()

    def require_writable(self) -> None:
        """Raises :class:`ReadOnlyRoot` or :class:`RootInUse` when :attr:`read_only`."""
        if not os.access(self.path, os.W_OK):
            raise ReadOnlyRoot(self.path)
        if self.dockerd_is_running():
            raise RootInUse(self.path)

    def dockerd_is_running(self) -> bool:
        """Whether a dockerd holds its databases in this root."""
        try:
            for descriptor in self._guard():
                os.close(descriptor)
        except RootInUse:
            return True
        return False

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Keep dockerd out for as long as the context lasts. Re-entrant, between threads too.

        Raises what :meth:`require_writable` raises.
        """
        self.begin_writing()
        try:
            yield
        finally:
            self.end_writing()

    def begin_writing(self) -> None:
        """:meth:`writing` for those whose end is not a block's end; pair with :meth:`end_writing`."""
        with self._mutex:
            if not self._writers:
                if not os.access(self.path, os.W_OK):
                    raise ReadOnlyRoot(self.path)
                self._guards = self._guard()
            self._writers += 1

    def end_writing(self) -> None:
        with self._mutex:
            self._writers -= 1
            if not self._writers:
                for descriptor in self._guards:
                    os.close(descriptor)
                self._guards = []

    def _guard(self) -> list[int]:
        """Shared locks on dockerd's databases, as open descriptors. Raises :class:`RootInUse`."""
        held: list[int] = []
        for name in _DOCKERD_DATABASES:
            try:
                descriptor = os.open(self.sub(name), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            except OSError:
                continue  # never made by a dockerd, or not ours to read
            held.append(descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                for other in held:
                    os.close(other)
                raise RootInUse(self.path) from None
        return held

    # Locks

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """The exclusive lock ``name``, between threads and processes; waits for it. Re-entrant in a thread.

        A child that was forked inside the context shares the lock until it executes another program or ends.
        Raises what :meth:`require_writable` raises.
        """
        self._acquire(name)
        try:
            yield
        finally:
            self._release(name)

    def holds(self, name: str) -> bool:
        """Whether this thread has the lock ``name``."""
        return (get_ident(), name) in self._held

    def _acquire(self, name: str) -> None:
        key = (get_ident(), name)
        held = self._held.get(key)
        if held is None:
            self.begin_writing()
            try:
                descriptor = open_lock(self.sub("lamina/locks", name))
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX)
                except BaseException:
                    os.close(descriptor)
                    raise
            except BaseException:
                self.end_writing()
                raise
            held = _Held(descriptor, 0)
        self._held[key] = held._replace(depth=held.depth + 1)

    def _release(self, name: str) -> None:
        key = (get_ident(), name)
        held = self._held[key]
        if held.depth > 1:
            self._held[key] = held._replace(depth=held.depth - 1)
            return
        del self._held[key]
        os.close(held.descriptor)
        self.end_writing()


def _make(path: str, mode: int) -> None:
    try:
        os.mkdir(path, mode)
    except FileExistsError:
        return
    os.chmod(path, mode)  # the caller's umask must not decide
