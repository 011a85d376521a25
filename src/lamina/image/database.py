"""Docker's ``imagedb``: configurations, and what is known beside them.

::

    imagedb/content/sha256/<image id>               raw configuration, 0600
    imagedb/metadata/sha256/<image id>/parent       image ID of the parent on this host, 0600
                                       lastUpdated  RFC 3339 with nanoseconds, of the last tag
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from lamina import atomicfile
from lamina.characters import is_hex
from lamina.contextlib import contextmanager, suppress
from lamina.dataroot import DataRoot
from lamina.digest import ImageID, InvalidDigest
from lamina.errors import TELLS_MORE, Corrupt, NotFound
from lamina.oci import timestamp
from lamina.oci.document import CONFIG_LIMIT

_TEXT_LIMIT = 4096


class ImageNotFound(NotFound):
    """No image has this name or ID.

    :ivar text: what was asked for.
    """

    def __init__(self, text: str) -> None:
        super().__init__(f"No such image: {text}")
        self.text = text


class DamagedImage(Corrupt):
    """An image's configuration is missing, changed or malformed."""

    def __init__(self, id: str, why: str) -> None:
        super().__init__(f"image {id} is damaged: {why}{TELLS_MORE}")


class UnreadableImage(DamagedImage):
    """The disk does not give a configuration back, which may be intact: nobody can say what it needs."""


class ImageDatabase:
    """Reads and writes the files of one ``imagedb``."""

    def __init__(self, root: DataRoot) -> None:
        self.content = root.store("imagedb/content/sha256")
        self.metadata = root.store("imagedb/metadata/sha256")

    def hexes(self) -> list[str]:
        """The hex part of every image ID, in no particular order."""
        return _names(self.content)

    def metadata_hexes(self) -> list[str]:
        """The hex part of every image ID that has metadata."""
        return _names(self.metadata)

    def path(self, id: ImageID) -> str:
        """Path of a configuration."""
        return f"{self.content}/{id.hex}"

    def metadata_path(self, id: ImageID) -> str:
        """Directory of an image's metadata."""
        return f"{self.metadata}/{id.hex}"

    def exists(self, id: ImageID) -> bool:
        return os.path.isfile(self.path(id))

    def require(self, id: ImageID) -> None:
        """Raises :class:`ImageNotFound` when there is no such image."""
        if not self.exists(id):
            raise ImageNotFound(id)

    def read(self, id: ImageID) -> bytes:
        """A configuration's bytes. Raises :class:`ImageNotFound`, and :class:`DamagedImage` for another digest."""
        try:
            with open(self.path(id), "rb", buffering=0) as file:
                raw = file.read(CONFIG_LIMIT + 1) or b""
        except FileNotFoundError:
            raise ImageNotFound(id) from None
        except OSError as error:
            raise UnreadableImage(id, f"its configuration can't be read: {error.strerror}") from error
        if ImageID.of(raw) != id:
            raise DamagedImage(id, "its configuration has another digest")
        return raw

    def write(self, id: ImageID, raw: bytes) -> None:
        """Add a configuration: the image exists from here on."""
        atomicfile.write(self.path(id), raw, mode=0o600)

    def remove(self, id: ImageID) -> None:
        """Remove a configuration: the image exists no more. Idempotent."""
        with suppress(FileNotFoundError):
            os.unlink(self.path(id))

    def hexes_with_parent(self) -> list[str]:
        """The hex part of every image ID that has a parent on this host."""
        return [name for name in self.metadata_hexes() if os.access(f"{self.metadata}/{name}/parent", os.F_OK)]

    def parent(self, id: ImageID) -> ImageID | None:
        """The image that ``id`` was made from on this host; ``None`` when there is none or it can't be told."""
        text = self._text(id, "parent")
        try:
            return ImageID(text) if text else None
        except InvalidDigest:
            return None

    def parent_text(self, id: ImageID) -> str:
        """What the ``parent`` file holds, malformed or not."""
        return self._text(id, "parent")

    def set_parent(self, id: ImageID, parent: ImageID) -> None:
        self._write_text(id, "parent", parent)

    def forget_parent(self, id: ImageID) -> None:
        with suppress(FileNotFoundError):
            os.unlink(f"{self.metadata_path(id)}/parent")

    def last_updated(self, id: ImageID) -> str:
        """RFC 3339 text; ``""`` when the image was never tagged here."""
        return self._text(id, "lastUpdated")

    @contextmanager
    def updating(self, id: ImageID) -> Iterator[None]:
        """``lastUpdated`` is now when the block ends well. All that may fail for want of space is done before it."""
        done = False
        try:
            with atomicfile.replacing(f"{self._with_metadata(id)}/lastUpdated") as file:
                file.write(timestamp.now().encode())
                file.flush()
                os.fdatasync(file.fileno())
                yield
                done = True
        except OSError:
            if not done:  # else the block's work is done, which only its time does not tell
                raise

    def _text(self, id: ImageID, name: str) -> str:
        try:
            descriptor = os.open(f"{self.metadata_path(id)}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return ""
        try:
            return os.read(descriptor, _TEXT_LIMIT).decode("utf-8", "replace").strip()
        except OSError:
            return ""
        finally:
            os.close(descriptor)

    def _write_text(self, id: ImageID, name: str, text: str) -> None:
        atomicfile.write(f"{self._with_metadata(id)}/{name}", text.encode(), mode=0o600)

    def _with_metadata(self, id: ImageID) -> str:
        """The directory of an image's metadata, which is there afterwards."""
        directory = self.metadata_path(id)
        with suppress(FileExistsError):
            os.mkdir(directory, 0o700)
        return directory


def image_id(hexpart: str) -> ImageID:
    """The ID of a name that :class:`ImageDatabase` lists: checked already, and there may be ten thousand."""
    return str.__new__(ImageID, "sha256:" + hexpart)


def _names(directory: str) -> list[str]:
    try:
        return list(filter(is_hex, os.listdir(directory)))
    except FileNotFoundError:
        return []
