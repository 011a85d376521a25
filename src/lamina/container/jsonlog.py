"""Docker's json-file log: one JSON object a line, ``{"log":"text\\n","stream":"stdout","time":"..."}``.

A line of the container longer than 16 KiB becomes several objects, all but the last without the end of line.
Source: Docker's "JSON File logging driver" page and files of Docker 20.10.
"""

import json
import os
from collections.abc import Iterator
from typing import NamedTuple

from lamina import atomicfile
from lamina.oci import timestamp

STDOUT, STDERR = "stdout", "stderr"
#: Longest piece of a line in one object, in bytes.
PIECE = 16 << 10
_BLOCK = 64 << 10

# What the json module's own encoder uses; json.dumps adds a layer of Python to each call.
_quote = json.encoder.encode_basestring


class Entry(NamedTuple):
    """One object of the log. ``time`` in nanoseconds since 1970."""

    log: str
    stream: str
    time: int


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


class Writer:
    """Appends to one log file. Only the monitor writes, so nothing is locked."""

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)

    def write(self, pieces: list[bytes], stream: str, nanoseconds: int) -> None:
        """Append ``pieces`` with one system call."""
        tail = f',"stream":"{stream}","time":"{timestamp.text(nanoseconds)}"}}\n'
        lines = [f'{{"log":{_quote(piece.decode("utf-8", "replace"))}{tail}' for piece in pieces]
        if lines:
            atomicfile.write_all(self._descriptor, "".join(lines).encode())

    def close(self) -> None:
        os.close(self._descriptor)


def parse(line: bytes) -> Entry | None:
    """One line of the file; ``None`` for a damaged one."""
    try:
        document = json.loads(line)
        return Entry(document["log"], document.get("stream", STDOUT), timestamp.nanoseconds(document["time"]))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


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
