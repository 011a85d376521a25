"""Docker's ``layerdb``: the metadata of layers and of containers' writable layers, as files.

::

    layerdb/sha256/<chain id>/cache-id              64 hex digits: the layer's directory in the graph driver
                              diff                  DiffID
                              parent                ChainID; absent in a bottom layer
                              size                  decimal bytes
                              tar-split.json.gz     what rebuilds the layer's tar
    layerdb/mounts/<container id>/mount-id          the writable layer's id in the graph driver
                                  init-id           the ``-init`` layer below it; absent when there is none
                                  parent            ChainID; absent when the image has no layers
    layerdb/tmp/                                    directories on their way into the other two

No file ends with a newline. Modes: files 0644, a layer's directory 0700, a mount's 0755.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

from lamina import atomicfile
from lamina.characters import is_hex, is_name
from lamina.dataroot import DataRoot
from lamina.digest import ChainID, DiffID, InvalidDigest, chain_id
from lamina.errors import TELLS_MORE, Corrupt, NotFound
from lamina.layer.contract import Layer, MountedLayer

#: Reasons that something else is in a file's place.
_NO_FILE = (errno.EISDIR, errno.ELOOP, errno.ENOTDIR, errno.ENXIO)

TAR_SPLIT = "tar-split.json.gz"

#: What the id of an ``-init`` layer has after that of the writable layer on top of it.
INIT = "-init"

#: Characters of a graph driver's id at the most.
_LONGEST_ID = 201
#: Most bytes of a metadata file; each holds one identifier.
_LIMIT = 4096


class DamagedLayer(Corrupt):
    """A layer's metadata is missing or malformed."""

    def __init__(self, what: str, why: str, remedy: str = TELLS_MORE) -> None:
        super().__init__(f"{what} is damaged: {why}{remedy}")
        self.why = why


class UnreadableLayer(DamagedLayer):
    """The disk does not give a layer's metadata back, which may be intact: nobody can say what is not needed."""


class LayerNotFound(NotFound):
    """No layer has this ChainID."""

    def __init__(self, chain_id: str) -> None:
        super().__init__(f"layer {chain_id} does not exist")
        self.chain_id = chain_id


class MountNotFound(NotFound):
    """The container has no writable layer."""

    def __init__(self, container_id: str) -> None:
        super().__init__(f"mount {container_id} does not exist")
        self.container_id = container_id


class LayerDatabase:
    """Reads and writes the files of one ``layerdb``. Holds no locks: a directory is renamed in and out whole."""

    def __init__(self, root: DataRoot) -> None:
        self.layers = root.store("layerdb/sha256")
        self.mounts = root.store("layerdb/mounts")
        self.temporary = root.store("layerdb/tmp")

    def path(self, chain: ChainID) -> str:
        """Directory of a layer."""
        return f"{self.layers}/{chain.hex}"

    def exists(self, chain: ChainID) -> bool:
        return chain.algorithm == "sha256" and os.path.isdir(self.path(chain))

    def chain_ids(self) -> list[ChainID]:
        """ChainID of every layer directory, damaged or not, in no particular order."""
        return [ChainID("sha256:" + name) for name in list_directory(self.layers) if is_hex(name)]

    def read(self, chain: ChainID) -> Layer:
        """One layer. Raises :class:`LayerNotFound` and :class:`DamagedLayer`."""
        directory, what = self.path(chain), f"layer {chain}"
        if not self.exists(chain):
            raise LayerNotFound(chain)
        parent = self.parent(chain)
        diff_text = _read(directory, "diff", what)
        try:
            diff_id = DiffID(diff_text or "")
        except InvalidDigest as error:
            raise DamagedLayer(what, f"its 'diff' holds {diff_text!r}") from error
        if chain_id(parent, diff_id) != chain:
            raise DamagedLayer(what, "its 'parent' and 'diff' belong to another layer")
        size = _read(directory, "size", what) or ""
        if not size.isdecimal():
            raise DamagedLayer(what, f"its 'size' holds {size!r}")
        return Layer(chain, diff_id, parent, int(size), self.cache_id(chain))

    def parent(self, chain: ChainID) -> ChainID | None:
        """What is below a layer, without looking at the rest of it. Raises as :meth:`read`."""
        return _read_parent(self.path(chain), f"layer {chain}")

    def cache_id(self, chain: ChainID) -> str:
        """A layer's id in the graph driver. Raises as :meth:`read`."""
        what = f"layer {chain}"
        return _checked_driver_id(_read(self.path(chain), "cache-id", what), "cache-id", what)

    def write(self, directory: str, layer: Layer) -> None:
        """Put a layer's metadata files into ``directory``, not synced."""
        _write(f"{directory}/cache-id", layer.cache_id)
        _write(f"{directory}/diff", layer.diff_id)
        _write(f"{directory}/size", str(layer.size))
        if layer.parent is not None:
            _write(f"{directory}/parent", layer.parent)

    def containers(self) -> list[str]:
        """Container id of every writable layer, damaged or not."""
        return list_directory(self.mounts)

    def has_mount(self, container_id: str) -> bool:
        return os.path.isdir(self.mount_path(container_id))

    def mount_path(self, container_id: str) -> str:
        """Directory of a container's writable layer's metadata."""
        if not _is_driver_id(container_id):
            raise MountNotFound(container_id)
        return f"{self.mounts}/{container_id}"

    def read_mount(self, container_id: str) -> MountedLayer:
        """One writable layer. Raises :class:`MountNotFound` and :class:`DamagedLayer`."""
        directory, what = self.mount_path(container_id), f"writable layer of container {container_id}"
        if not os.path.isdir(directory):
            raise MountNotFound(container_id)
        try:
            mount_id = _checked_driver_id(_read(directory, "mount-id", what), "mount-id", what)
            init_id = _read(directory, "init-id", what, optional=True)
            if init_id is not None and init_id != f"{mount_id}{INIT}":  # either may be another's
                raise DamagedLayer(what, f"its 'init-id' holds {init_id!r}, its 'mount-id' {mount_id!r}")
            return MountedLayer(container_id, mount_id, init_id or "", _read_parent(directory, what))
        except UnreadableLayer:
            raise
        except DamagedLayer as error:
            remedy = f" in {directory}; 'lamina rm -f {container_id}' removes the container"
            raise DamagedLayer(what, error.why, remedy) from error

    def write_mount(self, directory: str, mounted: MountedLayer) -> list[str]:
        """Put a writable layer's metadata files into ``directory``, not synced; their names."""
        names = {"mount-id": mounted.mount_id, "init-id": mounted.init_id, "parent": mounted.parent}
        written = {name: text for name, text in names.items() if text}
        for name, text in written.items():
            _write(f"{directory}/{name}", text)
        return list(written)

    def staging(self) -> Iterator[str]:
        """Absolute path of everything in ``tmp``."""
        for name in list_directory(self.temporary):
            yield f"{self.temporary}/{name}"


def list_directory(path: str) -> list[str]:
    """Names in a directory; none when it does not exist."""
    try:
        return os.listdir(path)
    except FileNotFoundError:
        return []


def driver_ids_in(directory: str) -> list[str]:
    """The graph driver ids that a directory of layer metadata names, whatever state it is in, top layer first.

    Raises :class:`UnreadableLayer`.
    """
    found = []
    for name in ("cache-id", "mount-id", "init-id"):
        try:
            text = _read(directory, name, directory, optional=True)
        except UnreadableLayer:
            raise
        except DamagedLayer:
            continue
        if text is not None and _is_driver_id(text):
            found.append(text)
    return found


def _read_parent(directory: str, what: str) -> ChainID | None:
    text = _read(directory, "parent", what, optional=True)
    if text is None:
        return None
    try:
        return ChainID(text)
    except InvalidDigest as error:
        raise DamagedLayer(what, f"its 'parent' holds {text!r}") from error


def _checked_driver_id(text: str | None, name: str, what: str) -> str:
    if text is None or not _is_driver_id(text):
        raise DamagedLayer(what, f"its {name!r} holds {text!r}")
    return text


def _read(directory: str, name: str, what: str, *, optional: bool = False) -> str | None:
    try:
        descriptor = os.open(f"{directory}/{name}", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError as error:
        if optional:
            return None
        raise DamagedLayer(what, f"its {name!r} is missing") from error
    except OSError as error:
        raise _unread(what, name, error) from error
    try:
        return os.read(descriptor, _LIMIT).decode("utf-8", "replace").strip()
    except OSError as error:
        raise _unread(what, name, error) from error
    finally:
        os.close(descriptor)


def _unread(what: str, name: str, error: OSError) -> DamagedLayer:
    kind = DamagedLayer if error.errno in _NO_FILE else UnreadableLayer
    return kind(what, f"its {name!r} can't be read: {error.strerror}")


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        with atomicfile.naming(path):
            os.fchmod(descriptor, 0o644)
            atomicfile.write_all(descriptor, text.encode())
    finally:
        os.close(descriptor)


def _is_driver_id(text: str) -> bool:
    return len(text) <= _LONGEST_ID and is_name(text, shortest=1)
