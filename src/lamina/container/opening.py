"""A container's file system from outside, whether it runs or not, with its volumes and bind mounts in place."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

from lamina.container import lifecycle, mounts, rootfs, specification
from lamina.container.parts import Parts
from lamina.container.record import Container
from lamina.container.store import NoSuchContainer
from lamina.contextlib import ExitStack, contextmanager, suppress
from lamina.layer.database import MountNotFound
from lamina.linux import mount, openat2, process


@contextmanager
def opened(parts: Parts, container_id: str) -> Iterator[int]:
    """A descriptor of its root directory, for ``openat2`` with ``RESOLVE_IN_ROOT``.

    While it runs it is what its first process sees; else it can't be started until the context ends.
    """
    container = lifecycle.current(parts, container_id)
    descriptor = _running_root(parts, container) if container.running else -1
    if descriptor >= 0:
        try:
            yield descriptor
        finally:
            os.close(descriptor)
        return
    with lifecycle.held(parts, container_id) as container:
        holder = f"{container_id}.opened"
        try:
            for point in container.mount_points.values():
                if point["Type"] == mounts.VOLUME:
                    parts.volumes.attach(str(point["Name"]), holder)
            with (
                _mounted(parts, container_id) as merged,
                _with_mount_points(merged, container, parts.container_root) as root,
            ):
                yield root
        finally:
            parts.volumes.release(holder)


@contextmanager
def without_volumes(parts: Parts, container_id: str) -> Iterator[tuple[Container, int]]:
    """The container, and a descriptor of its root directory as its image and its changes make it.

    Whoever starts, ends or removes it meanwhile need not wait: the descriptor keeps the mount, also one that is
    nowhere any more, and the files stay until the context ends.
    """
    with ExitStack() as stack:
        with lifecycle.held(parts, container_id) as container:  # else its monitor might unmount it in between
            stack.enter_context(kept(parts, container_id))
            merged = parts.layers.mount(container_id)
            try:
                root = rootfs.open_root(merged)
                stack.callback(os.close, root)
                _hold_server(root, stack)
            finally:
                if not container.running:
                    parts.layers.unmount(container_id)
        yield container, root


def _hold_server(root: int, stack: ExitStack) -> None:
    """Where a process serves the file system, it ends once that is mounted nowhere and no file is open in it.

    The file is one that is in every container.
    """
    with suppress(OSError):
        stack.callback(os.close, openat2.open_in_root(root, "/etc/hosts", os.O_RDONLY | os.O_NONBLOCK))


@contextmanager
def kept(parts: Parts, container_id: str) -> Iterator[None]:
    """Keep what is in its layer until the context ends, also when it is removed. Raises :class:`NoSuchContainer`."""
    try:
        with parts.layers.reading(container_id):
            yield
    except MountNotFound:
        if parts.root.has_container(container_id):
            raise
        raise NoSuchContainer(container_id) from None


@contextmanager
def _mounted(parts: Parts, container_id: str) -> Iterator[str]:
    """Its merged directory, without volumes. What was mounted by nobody else is unmounted at the end.

    The caller holds the container.
    """
    run = parts.run_directory(container_id)
    merged = parts.layers.mount(container_id)
    try:
        yield merged
    finally:
        if not run.exists():
            parts.layers.unmount(container_id)


def _running_root(parts: Parts, container: Container) -> int:
    """Descriptor of the root of its first process; -1 when that has ended meanwhile."""
    try:
        descriptor = os.open(f"/proc/{container.pid}/root", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError):
        return -1
    again = parts.store.load(container.id)
    if again.running and again.pid == container.pid:  # else the pid may be somebody else's
        return descriptor
    os.close(descriptor)
    return -1


@contextmanager
def _with_mount_points(merged: str, container: Container, owner: tuple[int, int] | None) -> Iterator[int]:
    """The root with volumes and binds mounted over it, in a mount namespace that ends with the context."""
    points = [point for point in mounts.ordered(container.mount_points.values()) if point["Type"] != mounts.TMPFS]
    if not points:
        root = rootfs.open_root(merged)
        try:
            yield root
        finally:
            os.close(root)
        return
    holder = _Namespace(merged, points, owner)
    try:
        yield holder.root
    finally:
        holder.close()


class _Namespace:
    """A thread with a mount namespace of its own. Others reach it through :attr:`root`; it ends with :meth:`close`."""

    def __init__(self, merged: str, points: list[dict[str, object]], owner: tuple[int, int] | None) -> None:
        """:param owner: of directories that are made to mount on, where that is not this process's user."""
        self.root = -1
        self._owner = owner
        self._error: BaseException | None = None
        self._ready = threading.Event()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._hold, args=(merged, points), name="lamina-mounts", daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._error is not None:
            self._thread.join()
            raise self._error

    def _hold(self, merged: str, points: list[dict[str, object]]) -> None:
        try:
            process.unshare(process.CLONE_FS | process.CLONE_NEWNS)
            mount.set_propagation("/", mount.MS_REC | mount.MS_PRIVATE)
            root = rootfs.open_root(merged)
            try:
                for point in points:
                    _bind(root, point, self._owner)
                self.root = os.open(merged, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            finally:
                os.close(root)
        except BaseException as error:
            self._error = error
            self._ready.set()
            return
        self._ready.set()
        self._done.wait()

    def close(self) -> None:
        os.close(self.root)
        self._done.set()
        self._thread.join()


def _bind(root: int, point: dict[str, object], owner: tuple[int, int] | None) -> None:
    """Mount one at its destination, resolved inside the root; a missing directory is made, as a start would."""
    subpath = mounts.subpath_of(point)
    if subpath:
        from lamina.container import subpaths  # few containers need it

        descriptor = subpaths.resolve(str(point["Source"]), subpath)
        try:
            _bind_source(root, point, openat2.descriptor_path(descriptor), owner, recursive=False)
        finally:
            os.close(descriptor)
        return
    source = specification.source(point)
    if os.path.exists(source):
        _bind_source(root, point, source, owner, recursive=True)


def _bind_source(
    root: int, point: dict[str, object], source: str, owner: tuple[int, int] | None, *, recursive: bool
) -> None:
    """The calling thread's working directory, which is its own, becomes the destination.

    A path could be redirected by whoever shares a volume, between looking and mounting.
    """
    destination = str(point["Destination"])
    try:
        if os.path.isdir(source):
            rootfs.make_directories(root, destination, owner=owner)
            directory, name = destination, "."
        else:
            directory, _, name = destination.rpartition("/")
        target = openat2.open_in_root(root, directory or "/", os.O_RDONLY | os.O_DIRECTORY)
    except (OSError, rootfs.NotADirectory):
        return
    try:
        os.fchdir(target)
    finally:
        os.close(target)
    tree = mount.open_tree(source, recursive=recursive)
    try:
        if not point["RW"]:
            mount.set_attributes(tree, add=mount.MOUNT_ATTR_RDONLY, recursive=True)
        with suppress(FileNotFoundError):
            mount.move_mount(tree, name)
    finally:
        os.close(tree)
