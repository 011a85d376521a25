"""Docker's directory layout for overlay2, read and written.

::

    overlay2/                0710
    overlay2/l/              0700   26 characters of base32, a symbolic link to ../<id>/diff
    overlay2/<id>/           0710
    overlay2/<id>/link       0644   the layer's name in l/, no newline
    overlay2/<id>/diff/      0755   what the layer changes
    overlay2/<id>/lower      0644   "l/NAME:l/NAME", parent first, no newline; absent in a bottom layer
    overlay2/<id>/work/      0700   overlayfs's own; absent in a bottom layer
    overlay2/<id>/committed  0600   empty; there once the layer is a parent
    overlay2/<id>/merged/    0700   there while mounted

The short names keep a stack of 128 layers within one page of mount options.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from lamina import atomicfile
from lamina.graphdriver.directories import ensure_directory, make_directory, missing
from lamina.graphdriver.failure import LayerDamaged, LayerExists, check_id
from lamina.owners import SAME, Owners

#: Docker's length of a name in ``l/``.
_LINK_LENGTH = 26
#: Base32 (RFC 4648).
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_LINKS = "l"
#: Bytes of a metadata file that are read: a thousand names are 28 KiB.
_LIMIT = 1 << 16

#: In ``home`` but no layers: the link directory, what ext4 makes, and the device node of Docker's quota code.
_NO_LAYERS = frozenset({_LINKS, "lost+found", "backingFsBlockDev"})


class Layout:
    """The paths and small files of one ``overlay2`` directory."""

    __slots__ = ("_owners", "home")

    def __init__(self, home: str, owners: Owners = SAME) -> None:
        self.home = home
        self._owners = owners

    def directory(self, id: str) -> str:
        """Absolute path of ``<id>/``. Raises ``InvalidArgument`` for what can't be an id."""
        check_id(id)
        if id in _NO_LAYERS:
            raise missing(id, self.home)
        return f"{self.home}/{id}"

    def link_path(self, name: str) -> str:
        """Absolute path of a symbolic link in ``l/``."""
        return f"{self.home}/{_LINKS}/{name}"

    def ids(self) -> Iterator[str]:
        """Every directory that is a layer's or could be."""
        try:
            entries = os.scandir(self.home)
        except FileNotFoundError:
            return
        with entries:
            for entry in entries:
                if entry.name not in _NO_LAYERS and entry.is_dir(follow_symlinks=False):
                    yield entry.name

    def links(self) -> Iterator[tuple[str, str]]:
        """Names in ``l/`` and the ids that they point at, ``""`` for what points nowhere that makes sense."""
        try:
            names = os.listdir(f"{self.home}/{_LINKS}")
        except FileNotFoundError:
            return
        for name in names:
            yield name, self.link_target(name) or ""

    def link_target(self, name: str) -> str | None:
        """The id that ``l/<name>`` points at; ``None`` when it is absent or malformed."""
        try:
            target = os.readlink(self.link_path(name))
        except OSError:
            return None
        parts = target.split("/")
        if len(parts) != 3 or parts[0] != ".." or parts[2] != "diff":
            return None
        return parts[1]

    def link(self, id: str) -> str:
        """The layer's name in ``l/``. Raises ``LayerDamaged`` when the file is absent, empty or malformed."""
        path = f"{self.directory(id)}/link"
        name = _read(path)
        if name is None:
            if not os.path.isdir(self.directory(id)):
                raise missing(id, self.home)
            raise LayerDamaged(f"{path} is missing")
        if not is_link_name(name):
            raise LayerDamaged(f"{path} is damaged: {name!r} is no name of a layer link")
        return name

    def lowers(self, id: str) -> list[str]:
        """Names in ``l/`` of the layers below, nearest first.

        Raises ``LayerDamaged``: the file is empty or malformed, or absent in a layer that was made on another.
        """
        directory = self.directory(id)
        path = f"{directory}/lower"
        text = _read(path)
        if text is None:
            if not os.path.isdir(directory):
                raise missing(id, self.home)
            if os.path.isdir(f"{directory}/work"):
                raise LayerDamaged(f"{path} is missing")
            return []
        names = []
        for entry in text.split(":"):
            folder, _, name = entry.partition("/")
            if folder != _LINKS or not is_link_name(name):
                raise LayerDamaged(f"{path} is damaged: {entry!r} is no layer link")
            names.append(name)
        if len(set(names)) != len(names):
            raise LayerDamaged(f"{path} is damaged: a layer is below itself")
        return names

    def lower_ids(self, id: str) -> list[str]:
        """Ids of the layers below, nearest first. Raises ``LayerDamaged`` when a link is missing or dangling."""
        ids = []
        for name in self.lowers(id):
            target = self.link_target(name)
            if target is None or not os.path.isdir(f"{self.home}/{target}/diff"):
                raise LayerDamaged(f"layer {id}: link {self.link_path(name)} below it is missing or leads nowhere")
            ids.append(target)
        return ids

    def create(self, id: str, parent: str | None) -> None:
        """Make the layer's directory and files. Not atomic. Raises what the contract says, and :class:`OSError`."""
        directory = self.directory(id)
        below = [] if parent is None else [self.link(parent), *self.lowers(parent)]
        try:
            make_directory(directory, 0o710)
        except FileNotFoundError:
            self._make_home()
            make_directory(directory, 0o710)
        except FileExistsError:
            raise LayerExists(f"layer {id} exists already in {self.home}") from None
        self._let_root_through(directory)
        make_directory(f"{directory}/diff", 0o755)
        self.give_to_root(f"{directory}/diff")
        self.write_link(id, self.new_link(id))
        if parent is None:
            return
        make_directory(f"{directory}/work", 0o700)
        self.give_to_root(f"{directory}/work")
        self.commit(parent)
        self.write_lower(id, below)

    def give_to_root(self, path: str) -> None:
        """Make the containers' root the owner."""
        if self._owners.are_mapped:
            os.chown(path, *self._owners.root)

    def _let_root_through(self, path: str) -> None:
        """The runtime comes as the containers' root: mode 0710 and its group."""
        if self._owners.are_mapped:
            os.chown(path, -1, self._owners.root[1])

    def new_link(self, id: str, name: str | None = None) -> str:
        """Make a symbolic link in ``l/`` for the layer, of an unused name or of ``name``; its name."""
        while True:
            chosen = name or "".join(_ALPHABET[byte & 31] for byte in os.urandom(_LINK_LENGTH))
            try:
                os.symlink(f"../{id}/diff", self.link_path(chosen))
            except FileExistsError:
                if name:
                    raise
            except FileNotFoundError:
                self._make_home()  # its maker died in between
            else:
                return chosen

    def files(self, id: str) -> list[str]:
        """Absolute paths of the files that have content."""
        directory = self.directory(id)
        return [path for path in (f"{directory}/link", f"{directory}/lower") if os.path.exists(path)]

    def write_link(self, id: str, name: str) -> None:
        """Write the file ``link``."""
        _write(f"{self.directory(id)}/link", name.encode(), 0o644)

    def write_lower(self, id: str, names: list[str]) -> None:
        """Write the file ``lower``."""
        _write(f"{self.directory(id)}/lower", ":".join(f"{_LINKS}/{name}" for name in names).encode(), 0o644)

    def commit(self, id: str) -> None:
        """Mark the layer as a parent: it is shown read-only from now on. Idempotent."""
        path = f"{self.directory(id)}/committed"
        if not os.path.exists(path):
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))

    def is_committed(self, id: str) -> bool:
        return os.path.exists(f"{self.directory(id)}/committed")

    def _make_home(self) -> None:
        for path, mode in ((self.home, 0o710), (f"{self.home}/{_LINKS}", 0o700)):
            ensure_directory(path, mode)
        self._let_root_through(self.home)


def is_link_name(name: str) -> bool:
    """Whether ``name`` can be a layer's name in ``l/``: anything else in a metadata file is damage."""
    return 0 < len(name) <= 64 and name.isascii() and name.isalnum()


def _read(path: str) -> str | None:
    """A metadata file's text; ``None`` when it is absent."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        with atomicfile.naming(path):
            return os.read(descriptor, _LIMIT).decode("latin-1")
    finally:
        os.close(descriptor)


def _write(path: str, data: bytes, mode: int) -> None:
    """Replace a metadata file; the data reaches the disk with the transaction's one sync."""
    atomicfile.write(path, data, mode=mode, sync=False)
