"""The directory ``containers/``: which containers exist, by id, name and prefix.

A container exists when ``containers/<id>/config.v2.json`` does. Names are in these files and nowhere else, so that
there is no second index to disagree with them (``dockerd`` changes them too); whoever gives a name holds
:meth:`ContainerStore.naming`.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator

from lamina import atomicfile, json
from lamina.characters import is_hex
from lamina.container.names import NameInUse
from lamina.container.record import Container, new_state
from lamina.contextlib import AbstractContextManager, contextmanager, suppress
from lamina.dataroot import DataRoot
from lamina.errors import Corrupt, InvalidArgument, NotFound
from lamina.graphdriver.removal import remove_tree
from lamina.oci import gojson
from lamina.typing import Any

CONFIG = "config.v2.json"
HOST_CONFIG = "hostconfig.json"


class NoSuchContainer(NotFound):
    """No container has that name or id."""

    def __init__(self, text: str) -> None:
        super().__init__(f"No such container: {text}")


class AmbiguousPrefix(InvalidArgument):
    """More than one id begins like that."""

    def __init__(self, text: str) -> None:
        super().__init__(f"Multiple IDs found with provided prefix: {text}")


class DamagedContainer(Corrupt):
    """A container's files can't be understood: it can only be removed, by force."""

    def __init__(self, id: str, path: str, why: str) -> None:
        super().__init__(f"container {id} is damaged: {path} {why}; 'lamina rm -f {id}' removes it")


class ContainerStore:
    """Containers of one data root. Thread-safe and safe between processes."""

    def __init__(self, root: DataRoot) -> None:
        self._root = root
        self._home = root.sub("containers")

    def directory(self, id: str) -> str:
        """``containers/<id>``."""
        return os.path.join(self._home, id)

    def log_path(self, id: str) -> str:
        return os.path.join(self._home, id, f"{id}-json.log")

    def ids(self) -> list[str]:
        """Ids of everything that looks like a container, in no particular order."""
        try:
            return [name for name in os.listdir(self._home) if is_hex(name)]
        except FileNotFoundError:
            return []

    def load(self, id: str) -> Container:
        """Raises :class:`NoSuchContainer`, :class:`DamagedContainer`."""
        return Container(self._read(id, CONFIG), self._read(id, HOST_CONFIG))

    def remains(self, id: str) -> Container:
        """What can be read of a damaged container, and for the rest a record that says nothing.

        Raises :class:`NoSuchContainer`.
        """
        document: dict[str, Any] = {"ID": id, "Name": "", "Image": "", "Config": {}, "State": new_state()}
        host_config: dict[str, Any] = {}
        with suppress(DamagedContainer):
            document |= self._read(id, CONFIG)
        with suppress(DamagedContainer):
            host_config = self._read(id, HOST_CONFIG)
        return Container(document, host_config)

    def all(self) -> Iterator[Container]:
        """Every readable container; damaged ones and those that vanish meanwhile are skipped."""
        for id in self.ids():
            try:
                yield self.load(id)
            except (NoSuchContainer, DamagedContainer):
                continue

    def damaged(self) -> list[str]:
        """Ids whose files are missing or can't be understood."""
        found = []
        for id in self.ids():
            try:
                self.load(id)
            except (NoSuchContainer, DamagedContainer):
                found.append(id)
        return found

    def save(self, container: Container, *, sync: bool = False) -> None:
        """Replace ``config.v2.json``. ``sync`` makes it survive a power cut; a process's crash it always survives."""
        path = os.path.join(self.directory(container.id), CONFIG)
        atomicfile.write(path, _encoded(container.document), sync=sync)

    def save_host_config(self, container: Container) -> None:
        """Replace ``hostconfig.json``."""
        path = os.path.join(self.directory(container.id), HOST_CONFIG)
        atomicfile.write(path, _encoded(container.host_config), mode=0o644, sync=False)

    def add(self, container: Container, *, sync: bool, unsynced: Iterable[str] = ()) -> None:
        """Make the directory and write both files. The caller holds :meth:`naming`.

        :param unsynced: paths of files and directories that are put on disk before the container exists.
        """
        directory = self.directory(container.id)
        os.makedirs(self._home, 0o710, exist_ok=True)
        os.mkdir(directory, 0o710)
        self._root.let_through(directory)
        os.mkdir(os.path.join(directory, "checkpoints"), 0o700)
        self.save_host_config(container)
        path = os.path.join(directory, CONFIG)
        others = [*unsynced, os.path.join(directory, HOST_CONFIG)] if sync else []
        atomicfile.write(path, _encoded(container.document), sync=sync, others=others)

    def mounts_directory(self, id: str) -> str:
        """``containers/<id>/mounts``, for what is mounted for the runtime; made when missing."""
        path = os.path.join(self.directory(id), "mounts")
        with suppress(FileExistsError):
            os.mkdir(path, 0o710)
            self._root.let_through(path)
        return path

    def unpublish(self, id: str) -> None:
        """From here on the container does not exist; :meth:`forget` removes the rest. Idempotent."""
        with suppress(FileNotFoundError):
            os.unlink(os.path.join(self.directory(id), CONFIG))

    def forget(self, id: str) -> None:
        """Remove the directory. Idempotent."""
        self.unpublish(id)
        with suppress(FileNotFoundError):
            remove_tree(self.directory(id))

    def find(self, text: str) -> str:
        """Id of the container that ``text`` means: a full id, a name, or an unambiguous prefix of an id, in this order.

        The name of a damaged container counts when no other has it.

        :raises NoSuchContainer: nothing fits. :raises AmbiguousPrefix: several do.
        """
        if is_hex(text) and os.path.exists(os.path.join(self.directory(text), CONFIG)):
            return text
        if not text or "\0" in text:
            raise NoSuchContainer(text)
        healthy, damaged = self._named(text.removeprefix("/"))
        named = healthy or damaged
        if named is not None:
            return named
        if "/" in text.strip("/"):
            from lamina.container import linking  # few names have one

            return linking.find(self, text)
        matches = [id for id in self.ids() if id.startswith(text)] if is_hex(text, len(text)) else []
        if len(matches) > 1:
            raise AmbiguousPrefix(text)
        if not matches:
            raise NoSuchContainer(text)
        return matches[0]

    def named(self, name: str) -> str | None:
        """Id of the container with exactly this name, damaged ones left aside: what they are called is free again."""
        return self._named(name)[0]

    def _named(self, name: str) -> tuple[str | None, str | None]:
        """Id of the container with exactly this name, and of a damaged one that seems to have it."""
        damaged = None
        # Looking for the text first spares parsing every file.
        mark = b'"Name":%s' % gojson.encode(f"/{name}")
        for id in self.ids():
            try:
                with open(os.path.join(self.directory(id), CONFIG), "rb") as file:
                    raw = file.read()
            except OSError:
                continue
            if mark in raw:
                try:
                    if self.load(id).name == name:
                        return id, None
                except NoSuchContainer:
                    continue
                except DamagedContainer:
                    damaged = id
        return None, damaged

    def naming(self) -> AbstractContextManager[None]:
        """Held while a name is looked up and given, so that two processes can't give the same."""
        return self._root.lock("container-names")

    def require_free(self, name: str) -> None:
        """Raises :class:`NameInUse`. The caller holds :meth:`naming`."""
        id = self.named(name)
        if id is not None:
            raise NameInUse(name, id)

    @contextmanager
    def lock(self, id: str) -> Iterator[None]:
        """Exclusive hold of one container, between threads and processes: state changes, start and removal.

        Raises :class:`NoSuchContainer` also when it was removed while this waited.
        """
        directory = self.directory(id)
        try:
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise NoSuchContainer(id) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if not os.path.exists(os.path.join(directory, CONFIG)):
                raise NoSuchContainer(id)
            yield
        finally:
            # A monitor that was forked inside has the descriptor too: closing this one would not be enough.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)

    def _read(self, id: str, name: str) -> dict[str, object]:
        path = os.path.join(self.directory(id), name)
        try:
            with open(path, "rb") as file:
                content = file.read()
            document = json.loads(content)
        except FileNotFoundError:
            if name != CONFIG and self._root.has_container(id):
                raise DamagedContainer(id, path, "is missing") from None
            raise NoSuchContainer(id) from None
        except (ValueError, RecursionError) as error:
            why = f"is no JSON: {error}" if content else "is empty"
            raise DamagedContainer(id, path, why) from error
        if not isinstance(document, dict):
            raise DamagedContainer(id, path, "is no JSON object")
        if name == CONFIG and not (document.get("ID") == id and isinstance(document.get("State"), dict)):
            raise DamagedContainer(id, path, "is not the configuration of this container")
        return document


def _encoded(document: dict[str, Any]) -> bytes:
    return gojson.encode(document) + b"\n"
