"""``docker import``: a root file system's tar becomes an image of one layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lamina.contextlib import closing, contextmanager
from lamina.digest import DiffID, ImageID
from lamina.distribution.archive import NoSuchArchive
from lamina.distribution.stores import Stores
from lamina.errors import InvalidArgument, Unavailable
from lamina.image import telling
from lamina.oci import dockerconfig, gojson, timestamp
from lamina.oci import platform as platforms
from lamina.oci.platform import Platform
from lamina.progress import Event, Report, ignore
from lamina.reference import Reference
from lamina.typing import IO, TYPE_CHECKING, Any, NamedTuple, cast
from lamina.version import MAKER

if TYPE_CHECKING:
    from lamina.registry.settings import Settings

_CHUNK = 1 << 20
_OK = 200


class DownloadFailed(Unavailable):
    """A server did not give the file that a URL names."""


class _Stream(NamedTuple):
    """What to read, where it is said to come from, and its size; 0 when nobody knows."""

    file: IO[bytes]
    origin: str
    size: int = 0


def import_image(
    source: IO[bytes] | str,
    stores: Stores,
    *,
    reference: Reference | None = None,
    changes: Sequence[str] = (),
    message: str = "",
    platform: Platform | None = None,
    report: Report = ignore,
    settings: Settings | None = None,
) -> ImageID:
    """Make an image of a tar, plain or compressed, and name it.

    :param source: path, ``http://`` or ``https://`` URL, or a binary stream, which stays open.
    :param reference: the name to give it; ``latest`` when it has no tag.
    :param changes: Dockerfile instructions, see :mod:`lamina.dockerfile.changes`.
    :param message: comment in its history; by default where it came from.
    :param settings: proxies, certificates and patience for the download of a URL.
    :raises InvalidArgument: a change or the reference is malformed; nothing has been read then.
    :raises Corrupt: the stream is no tar, or a hostile one.
    """
    stores.root.require_writable()
    if reference is not None and reference.digest is not None:
        raise InvalidArgument("cannot import digest reference")
    config = dockerconfig.complete(_changed(changes))
    with _opened(source, settings, report) as stream, stores.layers.begin() as transaction:
        staged = transaction.stage(None)
        result = staged.fill_from(cast("IO[bytes]", _Counted(stream, report)))
        comment = message or f"Imported from {stream.origin}"
        raw = _configuration(config, comment, platform or platforms.host(), result.diff_id)
        transaction.commit()
        with stores.images.lock():  # nobody may remove the image before it has its name
            image = stores.images.create(raw)
            if reference is not None:
                stores.images.tag(image.id, reference.tagged())
    telling.by_id(stores.root, image, "import")
    return image.id


def _changed(changes: Sequence[str]) -> dict[str, Any]:
    if not changes:
        return {}
    from lamina.dockerfile import changes as instructions

    return instructions.apply({}, changes)


def _configuration(config: dict[str, Any], comment: str, platform: Platform, diff_id: DiffID) -> bytes:
    """The image configuration as Docker writes it: members sorted, ``container_config`` empty."""
    created = timestamp.now()
    document: dict[str, Any] = {
        "architecture": platform.architecture,
        "comment": comment,
        "config": config,
        "container_config": dockerconfig.complete({}),
        "created": created,
        "docker_version": MAKER,
        "history": [{"created": created, "comment": comment}],
        "os": platform.os,
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
    }
    if platform.variant:
        document["variant"] = platform.variant
    return gojson.encode(document)


@contextmanager
def _opened(source: IO[bytes] | str, settings: Settings | None, report: Report) -> Iterator[_Stream]:
    if not isinstance(source, str):
        yield _Stream(source, "-")
    elif source.startswith(("http://", "https://")):
        with _download(source, settings, report) as stream:
            yield stream
    else:
        try:
            file = open(source, "rb")  # noqa: SIM115 - closed below; only opening can say that there is no such file
        except FileNotFoundError as error:
            raise NoSuchArchive(source) from error
        with file:
            yield _Stream(file, "-")


@contextmanager
def _download(url: str, settings: Settings | None, report: Report) -> Iterator[_Stream]:
    from lamina.registry.settings import Settings
    from lamina.registry.transport import Request, Transport

    report(Event(f"Downloading from {url}"))
    with closing(Transport(settings or Settings())) as transport, transport.send(Request("GET", url)) as answer:
        if answer.status != _OK:
            raise DownloadFailed(f"failed to GET {url} with status {answer.refusal()}")
        yield _Stream(cast("IO[bytes]", answer), url, answer.length or 0)


class _Counted:
    """The reading half of a stream, which reports how far it is."""

    def __init__(self, stream: _Stream, report: Report) -> None:
        self._stream = stream
        self._report = report
        self._done = 0

    def read(self, size: int = _CHUNK) -> bytes:
        data = self._stream.file.read(size)
        self._done += len(data)
        if data:
            self._report(Event("Importing", "", self._done, self._stream.size))
        return data
