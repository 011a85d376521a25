"""Docker's json-file log: one JSON object a line, ``{"log":"text\\n","stream":"stdout","time":"..."}``.

A line of the container longer than 16 KiB becomes several objects, all but the last without the end of line.
Source: Docker's "JSON File logging driver" page and files of Docker 20.10.
"""

import os
from collections.abc import Iterator, Mapping

from lamina import atomicfile, json
from lamina.contextlib import suppress
from lamina.oci import timestamp
from lamina.typing import NamedTuple

STDOUT, STDERR = "stdout", "stderr"
#: Longest piece of a line in one object, in bytes.
PIECE = 16 << 10
_BLOCK = 64 << 10

# What the json module's own encoder uses; json.dumps adds a layer of Python to each call.
_quote = json.quote


class Entry(NamedTuple):
    """One object of the log.

    :ivar time: nanoseconds since 1970.
    :ivar details: labels, variables and the tag, ``a=b,c=d``, each written as in a URL's query.
    """

    log: str
    stream: str
    time: int
    details: str = ""


class Splitter:
    """Cuts one stream into pieces for the log: at ends of lines, and every :data:`PIECE` bytes of a long one."""

    __slots__ = ("_pending",)

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Pieces that are complete with ``data``."""
        pending = self._pending
        pending += data
        pieces = []
        start = 0
        while True:
            end = pending.find(b"\n", start, start + PIECE)
            if end >= 0:
                end += 1
            elif len(pending) - start >= PIECE:
                end = _before_split_character(pending, start + PIECE)
            else:
                break
            pieces.append(bytes(pending[start:end]))
            start = end
        del pending[:start]
        return pieces

    def rest(self) -> list[bytes]:
        """What is left at the end of the stream."""
        rest = bytes(self._pending)
        self._pending.clear()
        return [rest] if rest else []


def _before_split_character(data: bytearray, end: int) -> int:
    """``end``, or up to three bytes before, so that no UTF-8 sequence is cut in two."""
    for back in range(1, 4):
        byte = data[end - back]
        if byte & 0xC0 != 0x80:
            length = 2 if byte >= 0xC0 else 1
            length = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else length
            return end - back if length > back else end
    return end


class Rotation(NamedTuple):
    """When a log begins a new file. ``limit`` in bytes, 0 for never; ``files`` counts the current one, too."""

    limit: int = 0
    files: int = 1
    compress: bool = False


class Writer:
    """Appends to one log file. Only the monitor writes, so nothing is locked.

    :param attributes: the object ``attrs`` of every entry, as JSON; ``""`` for none.
    """

    def __init__(self, path: str, rotation: Rotation | None = None, attributes: str = "") -> None:
        self._path = path
        self._rotation = rotation or Rotation()
        self._attributes = f',"attrs":{attributes}' if attributes else ""
        self._descriptor = self._open()
        self._size = os.fstat(self._descriptor).st_size

    def _open(self) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        return os.open(self._path, flags, 0o640)

    def encode(self, pieces: list[bytes], stream: str, nanoseconds: int) -> list[bytes]:
        """``pieces`` as they are in the file."""
        tail = f',"stream":"{stream}"{self._attributes},"time":"{timestamp.text(nanoseconds)}"}}\n'
        return [f'{{"log":{_quote(piece.decode("utf-8", "replace"))}{tail}'.encode() for piece in pieces]

    def write(self, pieces: list[bytes], stream: str, nanoseconds: int) -> None:
        """Append ``pieces``, with one system call for as many as go into the file."""
        lines = self.encode(pieces, stream, nanoseconds)
        if not self._rotation.limit:
            if lines:
                atomicfile.write_all(self._descriptor, b"".join(lines))
            return
        for line in lines:
            if self._size >= self._rotation.limit:
                self._rotate()
            atomicfile.write_all(self._descriptor, line)
            self._size += len(line)

    def _rotate(self) -> None:
        """Begin a new file; the old ones move up by one (``.1``, ``.2``), the oldest goes."""
        path, rotation = self._path, self._rotation
        if rotation.files < 2:
            os.ftruncate(self._descriptor, 0)
            self._size = 0
            return
        ending = ".gz" if rotation.compress else ""
        for number in range(rotation.files - 1, 1, -1):
            with suppress(FileNotFoundError):
                os.rename(f"{path}.{number - 1}{ending}", f"{path}.{number}{ending}")
        os.rename(path, f"{path}.1")
        descriptor = self._open()
        os.close(self._descriptor)
        self._descriptor, self._size = descriptor, 0
        if rotation.compress:
            _compress(f"{path}.1")

    def close(self) -> None:
        os.close(self._descriptor)


def _compress(path: str) -> None:
    """Replace ``path`` by ``path.gz``, which is there whole or not at all."""
    import zlib  # few logs are compressed

    compressor = zlib.compressobj(wbits=31)
    with open(path, "rb") as source, open(f"{path}.tmp", "wb") as target:
        while block := source.read(_BLOCK):
            target.write(compressor.compress(block))
        target.write(compressor.flush())
    os.rename(f"{path}.tmp", f"{path}.gz")
    os.unlink(path)


def rotated(path: str) -> list[str]:
    """Paths of the older files of the log at ``path``, oldest first."""
    directory, name = os.path.split(path)
    found = []
    for entry in os.listdir(directory):
        number = entry.removeprefix(f"{name}.").removesuffix(".gz")
        if entry != number and number.isdecimal():
            found.append((int(number), entry))
    return [os.path.join(directory, entry) for _, entry in sorted(found, reverse=True)]


def older_lines(path: str) -> Iterator[bytes]:
    """Lines of an older file, compressed or not; none when it has gone meanwhile."""
    try:
        with open(path, "rb") as file:
            if not path.endswith(".gz"):
                yield from file
                return
            import gzip

            with gzip.open(file) as unpacked:
                yield from unpacked
    except FileNotFoundError:
        return


def parse(line: bytes) -> Entry | None:
    """One line of the file; ``None`` for a damaged one."""
    try:
        document = json.loads(line)
        attributes = document.get("attrs")
        details = _details(attributes) if attributes else ""
        moment = timestamp.nanoseconds(document["time"])
        return Entry(document["log"], document.get("stream", STDOUT), moment, details)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _details(attributes: Mapping[str, str]) -> str:
    from urllib.parse import quote_plus  # few logs have attributes

    return ",".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in sorted(attributes.items()))


def tail_offset(descriptor: int, count: int) -> int:
    """Where the last ``count`` lines of the file begin."""
    position = os.fstat(descriptor).st_size
    if count <= 0:
        return position
    wanted = count + 1  # the end of the line before them, too
    last = True
    while position > 0:
        start = max(0, position - _BLOCK)
        block = os.pread(descriptor, position - start, start)
        end = len(block)
        if last:
            wanted -= not block.endswith(b"\n")
            last = False
        while (found := block.rfind(b"\n", 0, end)) >= 0:
            wanted -= 1
            if wanted == 0:
                return start + found + 1
            end = found
        position = start
    return 0


def lines(descriptor: int, offset: int) -> Iterator[tuple[bytes, int]]:
    """Complete lines from ``offset`` on, each with the offset behind it; ends at the end of the file."""
    pending = b""
    while True:
        block = os.pread(descriptor, _BLOCK, offset + len(pending))
        if not block:
            return
        *complete, pending = (pending + block).split(b"\n")
        for line in complete:
            offset += len(line) + 1
            yield line, offset
