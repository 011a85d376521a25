"""Image configurations (image-spec ``config.md``; Docker's image.json 1.2), kept as raw bytes.

The image ID is the digest of the raw bytes, so a configuration is never written again from its parsed form.
"""

from lamina.digest import ChainID, DiffID, ImageID, InvalidDigest, chain_ids
from lamina.oci.document import CONFIG_LIMIT, InvalidDocument, load, member
from lamina.oci.platform import Platform, normalise
from lamina.typing import Any, NamedTuple


class HistoryEntry(NamedTuple):
    """What one build step left. ``created`` is RFC 3339 text; empty strings where the member is absent."""

    created: str = ""
    created_by: str = ""
    author: str = ""
    comment: str = ""
    empty_layer: bool = False


class ImageConfig:
    """One parsed configuration.

    :ivar raw: the bytes that the ID covers.
    :ivar document: the parsed object; treat it as read-only.
    :ivar diff_ids: layers, bottom first.
    :ivar history: build steps, oldest first.
    """

    __slots__ = ("_id", "diff_ids", "document", "history", "raw")

    def __init__(
        self, raw: bytes, document: dict[str, Any], diff_ids: list[DiffID], history: list[HistoryEntry]
    ) -> None:
        self.raw = raw
        self.document = document
        self.diff_ids = diff_ids
        self.history = history
        self._id: ImageID | None = None

    @property
    def id(self) -> ImageID:
        if self._id is None:
            self._id = ImageID.of(self.raw)
        return self._id

    @property
    def chain_id(self) -> ChainID | None:
        """ChainID of all layers; ``None`` for an image without layers."""
        chain = chain_ids(self.diff_ids)
        return chain[-1] if chain else None

    @property
    def created(self) -> str:
        """RFC 3339 text or ``""``."""
        value: str = member(self.document, "created", str, "image configuration", "")
        return value

    @property
    def platform(self) -> Platform:
        text = {
            key: member(self.document, key, str, "image configuration", "")
            for key in ("os", "architecture", "variant", "os.version")
        }
        return normalise(Platform(text["os"], text["architecture"], text["variant"], text["os.version"]))

    @property
    def config(self) -> dict[str, Any]:
        """The execution parameters (``Env``, ``Cmd``, ``Entrypoint``, ...); empty when absent."""
        value: dict[str, Any] = member(self.document, "config", dict, "image configuration", {})
        return value


def parse(raw: bytes, what: str = "image configuration") -> ImageConfig:
    """Parse and check a configuration.

    :raises InvalidDocument: malformed, or the layers that ``history`` counts are more than ``rootfs`` lists.
    """
    document = load(raw, what, CONFIG_LIMIT)
    rootfs = member(document, "rootfs", dict, what)
    if rootfs is None:
        raise InvalidDocument(f"{what}: invalid image JSON, no RootFS key")
    if member(rootfs, "type", str, what, "layers") != "layers":
        raise InvalidDocument(f"{what}: unknown rootfs type {rootfs['type']!r}")
    diff_ids = []
    for text in member(rootfs, "diff_ids", list, what, []):
        try:
            diff_ids.append(DiffID(text if isinstance(text, str) else ""))
        except InvalidDigest as error:
            raise InvalidDocument(f"{what}: diff_ids: {error}: {text!r}") from error
    history = [_history_entry(value, what) for value in member(document, "history", list, what, [])]
    layers = sum(not entry.empty_layer for entry in history)
    if history and layers > len(diff_ids):
        raise InvalidDocument(f"{what}: history names {layers} layers, rootfs has {len(diff_ids)}")
    _check_execution_parameters(member(document, "config", dict, what, {}), what)
    for key in ("created", "os", "architecture", "variant", "os.version", "author", "docker_version"):
        member(document, key, str, what)
    return ImageConfig(raw, document, diff_ids, history)


def _history_entry(value: object, what: str) -> HistoryEntry:
    if not isinstance(value, dict):
        raise InvalidDocument(f"{what}: a history entry is not an object")
    return HistoryEntry(
        member(value, "created", str, what, ""),
        member(value, "created_by", str, what, ""),
        member(value, "author", str, what, ""),
        member(value, "comment", str, what, ""),
        member(value, "empty_layer", bool, what, False),
    )


_LISTS = ("Env", "Cmd", "Entrypoint", "Shell", "OnBuild")
_MAPS = ("Volumes", "ExposedPorts", "Labels")
_TEXTS = ("User", "WorkingDir", "StopSignal", "Hostname", "Domainname")


def _check_execution_parameters(config: dict[str, Any], what: str) -> None:
    for key in _LISTS:
        values = member(config, key, list, what, [])
        if not all(isinstance(value, str) for value in values):
            raise InvalidDocument(f"{what}: {key!r} holds something that is not a string")
    for key in _MAPS:
        member(config, key, dict, what)
    for key in _TEXTS:
        member(config, key, str, what)
