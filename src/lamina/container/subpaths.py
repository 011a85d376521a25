"""Volumes of which a container gets a part: ``volume-subpath`` of ``--mount``.

Rules and messages are moby's (``volume/mounts``, ``safepath``, from Docker 26 on). Containers that share the volume may
change links in it at any time, so the kernel resolves the path, never leaving the volume, and what it found is
mounted by descriptor. Loaded only when a container has such a mount.
"""

from __future__ import annotations

import errno
import os
import posixpath
import stat

from lamina.container.mounts import subpath_of
from lamina.contextlib import suppress
from lamina.errors import InvalidArgument, NotFound, SystemFailure
from lamina.linux import mount, openat2
from lamina.typing import Any

_RESOLVE = openat2.RESOLVE_BENEATH | openat2.RESOLVE_NO_MAGICLINKS
_PREFIX = "subpath-"


class NotAccessible(NotFound):
    """Nothing in the volume has that path."""


class LeavesVolume(InvalidArgument):
    """A link in the volume leads out of it."""


class Unresolvable(SystemFailure):
    """A path through a file, or through too many links."""


def resolve(volume: str, subpath: str) -> int:
    """An ``O_PATH`` descriptor of what ``subpath`` means in the directory ``volume``. Links are followed inside it.

    :raises NotAccessible: :raises LeavesVolume: :raises Unresolvable: with moby's messages.
    """
    base = os.open(volume, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        return openat2.openat2(base, subpath, os.O_PATH, resolve=_RESOLVE)
    except OSError as error:
        path = posixpath.normpath(f"{volume}/{subpath}")
        words = (error.strerror or "").lower()
        if error.errno == errno.EXDEV:
            said = f"path concatenation escapes the base directory, base: {volume}, subpath: {subpath}"
            raise LeavesVolume(said) from error
        if error.errno in (errno.ENOENT, errno.EAGAIN):  # the latter: names changed at each of many attempts
            missing = _missing(base, volume, path) if error.errno == errno.ENOENT else path
            raise NotAccessible(f"cannot access path {path}: lstat {missing}: {words}") from error
        raise Unresolvable(f'error while resolving symlinks in combined path "{path}": {words}') from error
    finally:
        os.close(base)


def _missing(base: int, volume: str, path: str) -> str:
    """The first directory on the way to ``path`` that is not there; ``path`` where a link leads nowhere."""
    parts = posixpath.relpath(path, volume).split("/")
    for count in range(1, len(parts)):
        try:
            os.close(openat2.openat2(base, "/".join(parts[:count]), os.O_PATH, resolve=_RESOLVE))
        except OSError:
            return f"{volume}/{'/'.join(parts[:count])}"
    return path


def place(home: str, points: list[dict[str, Any]]) -> dict[str, str]:
    """Mount what each of the mount points gets in ``home``, a container's directory for that; paths by destination.

    The runtime takes only paths, and these no container can change. :func:`leave` gives them back, after an error too.

    :raises: as :func:`resolve`.
    """
    _clear(home)
    found: dict[str, str] = {}
    for number, point in enumerate(points):
        path = f"{home}/{_PREFIX}{number}"
        descriptor = resolve(str(point["Source"]), subpath_of(point))
        try:
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                os.mkdir(path, 0o700)
            else:
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            mount.bind(openat2.descriptor_path(descriptor), path)
        finally:
            os.close(descriptor)
        found[str(point["Destination"])] = path
    return found


def leave(home: str) -> None:
    """Unmount what :func:`place` mounted, and remove the directory where nothing else is in it. Idempotent."""
    _clear(home)
    with suppress(OSError):
        os.rmdir(home)


def _clear(home: str) -> None:
    for name in os.listdir(home) if os.path.isdir(home) else ():
        if not name.startswith(_PREFIX):
            continue
        path = f"{home}/{name}"
        with suppress(OSError):
            mount.unmount(path, lazy=True)
        # What is still mounted is not removed by these.
        with suppress(OSError):
            (os.rmdir if os.path.isdir(path) else os.unlink)(path)
