"""Looking into a container's root file system from outside, where every link was chosen by somebody else.

Paths are resolved as inside the container: by the kernel (``openat2`` with ``RESOLVE_IN_ROOT``) for reading, component
by component without following links for making directories.
"""

from __future__ import annotations

import errno
import os
import stat

from lamina.errors import Denied, InvalidArgument
from lamina.linux import openat2

#: Where a runtime mounts before the container has a root of its own; a link there has made runtimes write on the host
#: (CVE-2026-41579 and its predecessors).
_REAL_DIRECTORIES = ("dev", "proc", "sys")
_LINK_LIMIT = 40
_FILE_LIMIT = 4 << 20


class HostileRoot(Denied):
    """The root file system is made to trick the runtime."""


class NotADirectory(InvalidArgument):
    """A component of a path that must be a directory is something else."""


def open_root(path: str) -> int:
    """A descriptor of the root directory at host path ``path``."""
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)


def require_plain(root: int) -> None:
    """Refuse a root where ``/dev``, ``/proc`` or ``/sys`` is not a directory.

    The ``-init`` layer makes them directories, so only a container that was changed while it did not run gets here.
    """
    for name in _REAL_DIRECTORIES:
        try:
            mode = os.stat(name, dir_fd=root, follow_symlinks=False).st_mode
        except FileNotFoundError:
            continue
        if not stat.S_ISDIR(mode):
            raise HostileRoot(f"/{name} of the container is not a directory: refusing to start it")


def read_file(root: int, path: str) -> bytes | None:
    """A regular file's content as seen inside; ``None`` when there is none. Devices and pipes are not touched."""
    try:
        descriptor = openat2.open_in_root(root, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV, errno.EACCES, errno.ENXIO):
            return None
        raise
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        data = file.read(_FILE_LIMIT + 1)
    if len(data) > _FILE_LIMIT:
        raise InvalidArgument(f"{path} of the container is larger than {_FILE_LIMIT} bytes")
    return data


def check_working_directory(root: int, path: str, *, owner: tuple[int, int] | None = None) -> None:
    """Make the container's working directory where it is missing; refuse one that would leave the container.

    ``/proc/self/fd/7`` is a door to whatever the runtime has open (CVE-2024-21626), directly or behind a link.

    :raises NotADirectory: with Docker's text.
    """
    resolved = make_directories(root, path, owner=owner)
    if resolved.startswith("/proc/"):
        raise HostileRoot(f"the working directory '{path}' leads into /proc: refusing to start the container")


def make_directories(root: int, path: str, *, owner: tuple[int, int] | None = None) -> str:
    """``mkdir -p path`` inside ``root`` (mode 0755, owner root unless another is given); the path without links.

    Links are followed inside the root only. Below ``/proc`` nothing is made.
    """
    current = os.dup(root)
    done: list[str] = []
    pending = [part for part in reversed(path.split("/")) if part not in ("", ".")]
    links = 0
    try:
        while pending:
            part = pending.pop()
            if done[:1] == ["proc"] and part != "..":
                return "/" + "/".join([*done, part, *reversed(pending)])
            if part == "..":
                done = done[:-1]
                current = _replace(current, _reopen(root, done))
                continue
            target = _step(current, part, path, owner)
            if isinstance(target, int):
                current = _replace(current, target)
                done.append(part)
                continue
            links += 1
            if links > _LINK_LIMIT:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            if target.startswith("/"):
                done = []
                current = _replace(current, os.dup(root))
            pending.extend(piece for piece in reversed(target.split("/")) if piece not in ("", "."))
    finally:
        os.close(current)
    return "/" + "/".join(done)


def _replace(old: int, new: int) -> int:
    os.close(old)
    return new


def _reopen(root: int, parts: list[str]) -> int:
    return openat2.open_beneath(root, "/".join(parts) or ".", os.O_RDONLY | os.O_DIRECTORY)


def _step(directory: int, name: str, path: str, owner: tuple[int, int] | None) -> int | str:
    """The directory ``name``, made when missing; or the text of the link that it is."""
    for _ in range(2):
        try:
            return os.open(
                name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=directory
            )
        except FileNotFoundError:
            try:
                os.mkdir(name, 0o755, dir_fd=directory)
                if owner is not None:
                    os.chown(name, *owner, dir_fd=directory, follow_symlinks=False)
            except FileExistsError:
                continue
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                raise
            try:
                return os.readlink(name, dir_fd=directory)
            except OSError:
                raise NotADirectory(f"Cannot mkdir: {path} is not a directory") from None
    return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
