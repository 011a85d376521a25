"""Volumes: ``volumes/<name>/_data``, Docker's layout.

Docker keeps a volume's labels and options in ``metadata.db``, a database of its own; ours are in ``lamina.json`` next
to ``_data``, and a volume without the file is one that Docker made, or has neither.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator, Sequence

from lamina import atomicfile, events, json
from lamina.characters import is_name
from lamina.contextlib import suppress
from lamina.dataroot import DataRoot
from lamina.errors import Conflict, InvalidArgument, NotFound
from lamina.graphdriver.removal import remove_tree
from lamina.oci import gojson, timestamp
from lamina.typing import Any, NamedTuple

_DATA = "_data"
#: What becomes the content's directory.
_UNFINISHED = "_data.new"
_METADATA = "lamina.json"
#: Below the data root: ``<volume>/<container id>`` for every container that uses a volume which is a mount.
_HOLDERS = "lamina/mounted-volumes"
#: Docker's mark of a volume that nobody named.
ANONYMOUS_LABEL = "com.docker.volume.anonymous"


class NoSuchVolume(NotFound):
    def __init__(self, name: str) -> None:
        super().__init__(f"get {name}: no such volume")


class InvalidVolumeName(InvalidArgument):
    def __init__(self, name: str) -> None:
        super().__init__(
            f'create {name}: "{name}" includes invalid characters for a local volume name, only '
            '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path'
        )


class VolumeInUse(Conflict):
    def __init__(self, name: str, users: Sequence[str]) -> None:
        super().__init__(f"remove {name}: volume is in use - [{', '.join(users)}]")


class Volume(NamedTuple):
    """One volume.

    :ivar path: absolute host path of its content.
    :ivar created: RFC 3339 text, in whole seconds.
    """

    name: str
    path: str
    created: str
    labels: dict[str, str] | None = None
    options: dict[str, str] | None = None

    @property
    def anonymous(self) -> bool:
        return ANONYMOUS_LABEL in (self.labels or {})


class VolumeStore:
    """The volumes of one data root. Safe between processes."""

    def __init__(self, root: DataRoot) -> None:
        self._root = root
        self._home = root.sub("volumes")

    def on(self, root: DataRoot) -> VolumeStore:
        """The volumes of ``root``."""
        return VolumeStore(root)

    def create(
        self,
        name: str = "",
        *,
        labels: dict[str, str] | None = None,
        options: dict[str, str] | None = None,
    ) -> tuple[Volume, bool]:
        """The volume ``name``, a new one under a random name for ``""``; whether it was made now.

        :raises InvalidVolumeName: the name could leave the directory, or Docker would refuse it.
        """
        if not name:
            name = os.urandom(32).hex()
            labels = {**(labels or {}), ANONYMOUS_LABEL: ""}
        if not is_name(name):
            raise InvalidVolumeName(name)
        if options:
            from lamina.volume import local  # few volumes need it

            local.check(name, options)
        with self._root.lock("volumes"):
            try:
                found, is_new = self.get(name), False
            except NoSuchVolume:
                found, is_new = self._make(name, labels, options), True
        self._tell(name, "create")  # Docker tells of it each time that somebody asks
        return found, is_new

    def _make(self, name: str, labels: dict[str, str] | None, options: dict[str, str] | None) -> Volume:
        """The caller holds the lock. A volume exists when its ``_data`` does, which is last."""
        directory = os.path.join(self._home, name)
        is_new = not os.path.lexists(directory)
        os.makedirs(directory, 0o701, exist_ok=True)
        try:
            self._fill(directory, labels, options)
        except BaseException:
            if is_new:
                remove_tree(directory)
            raise
        return self.get(name)

    def _fill(self, directory: str, labels: dict[str, str] | None, options: dict[str, str] | None) -> None:
        created = timestamp.text(int(time.time()) * timestamp.SECOND)
        metadata = gojson.encode({"CreatedAt": created, "Labels": labels, "Options": options})
        atomicfile.write(os.path.join(directory, _METADATA), metadata + b"\n", sync=False)
        if options:
            from lamina.volume import local  # the same

            atomicfile.write(os.path.join(directory, local.OPTIONS_FILE), local.encode(options), sync=False)
        made = os.path.join(directory, _UNFINISHED)
        with suppress(FileExistsError):  # whoever made it was killed
            os.mkdir(made)
        os.chmod(made, 0o755)  # whatever the caller's umask
        if self._root.owners.are_mapped:
            os.chown(made, *self._root.owners.root)
        os.rename(made, os.path.join(directory, _DATA))  # from here on it exists

    def get(self, name: str) -> Volume:
        """Raises :class:`NoSuchVolume`."""
        path = os.path.join(self._home, name, _DATA)
        if not is_name(name) or not os.path.isdir(path) or os.path.islink(path):
            raise NoSuchVolume(name)
        metadata = self._metadata(name)
        # Of one that Docker made it is what Docker says: the time of the directory's last change.
        created = metadata.get("CreatedAt") or timestamp.text(int(os.stat(path).st_ctime) * timestamp.SECOND)
        return Volume(name, path, created, metadata.get("Labels"), metadata.get("Options"))

    def all(self) -> Iterator[Volume]:
        """By name."""
        try:
            names = sorted(os.listdir(self._home))
        except FileNotFoundError:
            return
        for name in names:
            try:
                yield self.get(name)
            except NoSuchVolume:
                continue

    def remove(self, name: str, users: Sequence[str], *, pruned: bool = False) -> None:
        """Delete it.

        :param users: ids of the containers that refer to it; :class:`VolumeInUse` when there are any.
        :param pruned: it is one of those that nobody uses, of which Docker tells the sum only.
        """
        with self._root.lock("volumes"):
            self.get(name)
            if users:
                raise VolumeInUse(name, users)
            self._detach(name)
            doomed = self._discard(name)
        remove_tree(doomed)
        if not pruned:
            self._tell(name, "destroy")

    def _discard(self, name: str) -> str:
        """The path below which all of a volume is that exists no more. In the trash, what this process does not free
        the next one does; where the trash is on another file system, it goes piece by piece."""
        directory = os.path.join(self._home, name)
        doomed = self._root.sub("lamina/trash", f"{name}.{os.urandom(8).hex()}")
        try:
            os.rename(directory, doomed)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.ENOENT, errno.EBUSY, errno.ENOSPC, errno.EDQUOT):
                raise
            return directory
        return doomed

    def _tell(self, name: str, action: str) -> None:
        events.tell(self._root, events.Actor(events.VOLUME, name, {"driver": "local"}), action)

    def attach(self, name: str, holder: str) -> bool:
        """Let ``holder`` (a container's ID) use the content: mount a volume that is a mount and is not mounted yet.

        For others nothing is done. Returns whether its options make it read-only.

        :raises NoSuchVolume: :raises lamina.volume.local.NotMounted: the kernel refused.
        """
        from lamina.linux import mount  # most volumes are directories

        volume = self.get(name)
        if not volume.options:
            return False
        with self._root.lock("volumes"):
            if not mount.is_mount_point(volume.path):
                from lamina.volume import local  # few volumes need it

                local.attach(volume.path, volume.options)
            directory = os.path.join(self._root.sub(_HOLDERS), name)
            os.makedirs(directory, 0o700, exist_ok=True)
            with open(os.path.join(directory, holder), "wb"):
                pass
        return "ro" in (volume.options.get("o") or "").split(",")

    def release(self, holder: str) -> None:
        """``holder`` uses no volume any more; what nobody uses is unmounted. Idempotent."""
        home = self._root.sub(_HOLDERS)
        if not os.path.isdir(home):
            return
        with self._root.lock("volumes"):
            for name in os.listdir(home):
                with suppress(FileNotFoundError):
                    os.unlink(os.path.join(home, name, holder))
                if _remove_empty(os.path.join(home, name)):
                    self._detach(name)
            _remove_empty(home)

    def _detach(self, name: str) -> None:
        from lamina.linux import mount

        path = os.path.join(self._home, name, _DATA)
        if mount.is_mount_point(path):
            mount.unmount(path)

    def _metadata(self, name: str) -> dict[str, Any]:
        try:
            with open(os.path.join(self._home, name, _METADATA), "rb") as file:
                document = json.loads(file.read())
        except (OSError, ValueError):
            return self._foreign(name)
        return document if isinstance(document, dict) else {}

    def _foreign(self, name: str) -> dict[str, Any]:
        """What Docker's own file says of a volume that it made with options."""
        from lamina.volume import local  # few volumes need it

        try:
            with open(os.path.join(self._home, name, local.OPTIONS_FILE), "rb") as file:
                return {"Options": local.decode(file.read())}
        except (OSError, ValueError):
            return {}


def _remove_empty(directory: str) -> bool:
    """Remove a directory without content; whether it was one."""
    try:
        os.rmdir(directory)
    except OSError:
        return False
    return True
