"""``ADD`` of a URL: the file, kept between builds for as long as its server says that it has not changed.

``<root>/lamina/build-cache/downloads/<sha256 of the URL>/`` has the file at ``content/<name>`` and, once that is whole,
a JSON document ``record``. File and name are what Docker makes of a download: mode 0600, the time of ``Last-Modified``,
the name from the URL or from ``Content-Disposition``.
"""

from __future__ import annotations

import email.message
import email.utils
import hashlib
import os
import posixpath
import time
from collections.abc import Iterator, Mapping
from urllib.parse import unquote, urlsplit

from lamina import atomicfile, json
from lamina.builder.stored import DOWNLOADS
from lamina.builder.watch import Watch
from lamina.contextlib import contextmanager, suppress
from lamina.dataroot import DataRoot
from lamina.errors import Corrupt, InvalidArgument, LaminaError, NoSpace, Unavailable
from lamina.filelock import FileLock
from lamina.graphdriver.removal import remove_tree
from lamina.registry.answer import Answer
from lamina.registry.errors import ConnectionFailed, RefusedRedirect
from lamina.registry.settings import Proxies, Settings
from lamina.registry.transport import Request, Transport
from lamina.typing import Any, NamedTuple

#: What Docker calls a file whose URL names none.
UNNAMED = "__unnamed__"
_PIECE = 1 << 20
_INTERVAL = 1.0
_RECORD_LIMIT = 1 << 20
_UNITS = ("B", "kB", "MB", "GB", "TB")


class DownloadFailed(Unavailable):
    """The server did not give the file."""


class BrokenOff(DownloadFailed):
    """The answer ended too early."""


class WrongChecksum(Corrupt):
    """It is not the file that was asked for."""


class Download(NamedTuple):
    """A file that was fetched, or is still what it was.

    :ivar directory: host path of the directory that has nothing but the file.
    :ivar name: of the file in it; :data:`UNNAMED` when nothing names it.
    :ivar sha256: of its content, in hex.
    :ivar fresh: whether it had to be fetched.
    """

    directory: str
    name: str
    sha256: str
    fresh: bool


def settings_with(settings: Settings, arguments: Mapping[str, str]) -> Settings:
    """The proxies that build arguments name come first."""
    found = {name.lower(): value for name, value in arguments.items() if name.lower().endswith("_proxy") and value}
    if not found:
        return settings
    common = found.get("all_proxy", "")
    rules = tuple(filter(None, (rule.strip() for rule in found.get("no_proxy", "").split(","))))
    proxies = settings.proxies
    return settings._replace(
        proxies=Proxies(
            found.get("http_proxy", common) or proxies.http,
            found.get("https_proxy", common) or proxies.https,
            rules or proxies.no_proxy,
        )
    )


@contextmanager
def fetched(root: DataRoot, url: str, settings: Settings, checksum: str, watch: Watch) -> Iterator[Download]:
    """The file at ``url``, there and unchanged as long as the context lasts.

    :param checksum: ``sha256:`` and hex digits that its content must have; what is kept and has it is not asked for.
    :raises DownloadFailed: with Docker's text.
    :raises WrongChecksum: with Docker's text; nothing is kept then.
    """
    wanted = checked_checksum(checksum)
    name = hashlib.sha256(url.encode("utf-8", "surrogateescape")).hexdigest()
    lock = FileLock(root.sub("lamina/locks", f"build-cache-{name}"))
    lock.acquire()
    try:
        yield _Kept(root.sub(DOWNLOADS, name), url).current(settings, wanted, watch)
    finally:
        lock.release()


def checked_checksum(text: str) -> str:
    """The hex digits of a ``--checksum``, ``""`` for none. Raises ``InvalidArgument``."""
    if not text:
        return ""
    algorithm, colon, digits = text.partition(":")
    if not colon or algorithm != "sha256":
        raise InvalidArgument(f"invalid checksum digest format: {text}: only sha256 is supported")
    if len(digits) != 64 or set(digits) - set("0123456789abcdef"):
        raise InvalidArgument(f"invalid checksum digest format: {text}: invalid checksum digest length or characters")
    return digits


class _Kept:
    """What is kept of one URL; its lock is held."""

    def __init__(self, path: str, url: str) -> None:
        self._path = path
        self._url = url

    def current(self, settings: Settings, checksum: str, watch: Watch) -> Download:
        record = self._record()
        if record is not None and checksum and record["sha256"] == checksum:
            return self._download(record, fresh=False)
        transport = Transport(settings)
        attempt = 1
        try:
            while True:
                try:
                    return self._asked(transport, record, checksum, watch)
                except BrokenOff:
                    if attempt >= settings.attempts:
                        raise
                    time.sleep(transport.delay(attempt))
                    record, attempt = None, attempt + 1
        finally:
            transport.close()

    def _asked(self, transport: Transport, record: dict[str, Any] | None, checksum: str, watch: Watch) -> Download:
        with open_url(transport, self._url, _conditions(record)) as answer:
            if answer.status == 304 and record is not None:
                if checksum:
                    raise _mismatch(checksum, record["sha256"])
                return self._download(record, fresh=False)
            return self._download(self._take(answer, checksum, watch), fresh=True)

    def _record(self) -> dict[str, Any] | None:
        try:
            with open(f"{self._path}/record", "rb") as file:
                record = json.loads(file.read(_RECORD_LIMIT))
            status = os.lstat(f"{self._path}/content/{record['name']}")
            if record["size"] != status.st_size or "/" in record["name"]:
                return None
            return {**record, "sha256": str(record["sha256"])}
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None

    def _download(self, record: dict[str, Any], *, fresh: bool) -> Download:
        with suppress(OSError):
            os.utime(self._path)
        return Download(f"{self._path}/content", record["name"], record["sha256"], fresh)

    def _take(self, answer: Answer, checksum: str, watch: Watch) -> dict[str, Any]:
        """Read the file and remember it."""
        remove_tree(self._path)
        os.makedirs(f"{self._path}/content", 0o700)
        name = file_name(self._url, answer.header("Content-Disposition")) or UNNAMED
        try:
            digest, size = self._read(answer, f"{self._path}/content/{name}", watch)
            if checksum and digest != checksum:
                raise _mismatch(checksum, digest)
            record = {
                "url": self._url,
                "name": name,
                "sha256": digest,
                "size": size,
                "etag": answer.header("ETag"),
                "last_modified": answer.header("Last-Modified"),
            }
            atomicfile.write(f"{self._path}/record", json.dumps(record).encode(), sync=False)
        except BaseException:
            remove_tree(self._path)
            raise
        return record

    def _read(self, answer: Answer, path: str, watch: Watch) -> tuple[str, int]:
        digest, total = hashlib.sha256(), 0
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                for piece in body(answer, watch):
                    digest.update(piece)
                    total += len(piece)
                    atomicfile.write_all(descriptor, piece)
                modified = _moment(answer.header("Last-Modified"))
                if modified:
                    os.utime(descriptor, (modified, modified))
            finally:
                os.close(descriptor)
        except OSError as error:
            if error.errno in (28, 122):  # ENOSPC, EDQUOT
                raise NoSpace("no space left on device") from error
            raise
        return digest.hexdigest(), total


@contextmanager
def open_url(transport: Transport, url: str, headers: Mapping[str, str]) -> Iterator[Answer]:
    """The answer to a ``GET``: the file, or that it has not changed.

    :raises DownloadFailed: anything else, with Docker's text.
    """
    try:
        answer = transport.send(Request("GET", url, headers))
    except (ConnectionFailed, RefusedRedirect) as error:
        raise DownloadFailed(str(error)) from error
    with answer:
        if answer.status != 304 and not 200 <= answer.status < 300:
            raise DownloadFailed(f"failed to GET {url} with status {answer.refusal()}")
        yield answer


def body(answer: Answer, watch: Watch) -> Iterator[bytes]:
    """The pieces of an answer, told of as they come. Raises :class:`BrokenOff`."""
    total, told = 0, time.monotonic()
    try:
        while piece := answer.read(_PIECE):
            watch.check()
            total += len(piece)
            yield piece
            if time.monotonic() - told >= _INTERVAL:
                told = time.monotonic()
                watch.show(_progress(total, answer.length))
    except ConnectionFailed as error:
        raise BrokenOff(str(error)) from error
    watch.show(_progress(total, total))


def file_name(url: str, disposition: str) -> str:
    """How Docker names a download: by the URL's path, else by ``Content-Disposition``; ``""`` when neither does."""
    path = unquote(urlsplit(url).path, errors="surrogateescape")
    if path and not path.endswith("/"):
        return _plain(posixpath.basename(path))
    message = email.message.Message()
    message["Content-Disposition"] = disposition.replace("\r", "").replace("\n", "")
    name = message.get_filename() or ""
    return _plain(posixpath.basename(name)) if not name.endswith("/") else ""


def _plain(name: str) -> str:
    return "" if name in (".", "..") or "\0" in name or "/" in name or len(os.fsencode(name)) > 255 else name


def _conditions(record: dict[str, Any] | None) -> dict[str, str]:
    """Headers that ask for the file only if it changed."""
    if record is None:
        return {}
    fields = (("If-None-Match", record.get("etag")), ("If-Modified-Since", record.get("last_modified")))
    return {name: str(value) for name, value in fields if value}


def _mismatch(wanted: str, found: str) -> LaminaError:
    return WrongChecksum(f"digest mismatch sha256:{found}: sha256:{wanted}")


def _moment(text: str) -> int:
    """Seconds of an HTTP date; 0 for none."""
    try:
        return max(0, int(email.utils.parsedate_to_datetime(text).timestamp()))
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0


def _progress(done: int, total: int | None) -> bytes:
    return (f"{_size(done)} / {_size(total)}\n" if total else f"{_size(done)}\n").encode()


def _size(number: float) -> str:
    for unit in _UNITS[:-1]:
        if number < 1000:
            return f"{number:.4g}{unit}"
        number /= 1000
    return f"{number:.4g}{_UNITS[-1]}"
