"""Docker's ``local`` log: protobuf messages between two copies of their length.

An entry is the length of the message as a big-endian number of four bytes, the message, and the length again. The
message (``LogEntry`` of Docker's log plugins): 1 source, 2 time in nanoseconds, 3 the line without its end, 4 whether
it is a piece of a line, 5 of which: 1 whether the last, 2 an id, 3 a number from 1 on.
Source: ``entry.proto`` and files of Docker 20.10.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from lamina.container import jsonlog
from lamina.container.jsonlog import Entry, Rotation
from lamina.typing import NamedTuple

#: Where the driver keeps its file, below the container's directory, and where what can't be read back is kept too.
PATH, CACHE_PATH = "local-logs/container.log", "container-cached.log"
#: What Docker takes when nothing is said.
DEFAULT_ROTATION = Rotation(20 << 20, 5, compress=True)
_LENGTH = 4
_BLOCK = 64 << 10
#: No entry is longer: a piece of a line has 16 KiB at most. Larger lengths are damage.
_LONGEST = 1 << 20
_VARINT, _BYTES = 0, 2


class _Partial(NamedTuple):
    id: str
    ordinal: int


class Writer(jsonlog.Writer):
    """Appends to one log of this form. Files are begun and compressed as those of json-file."""

    def __init__(self, path: str, rotation: Rotation) -> None:
        super().__init__(path, rotation)
        self._partial: dict[str, _Partial] = {}

    def encode(self, pieces: list[bytes], stream: str, nanoseconds: int) -> list[bytes]:
        """See :meth:`lamina.container.jsonlog.Writer.encode`."""
        return [self._entry(piece, stream, nanoseconds) for piece in pieces]

    def _entry(self, piece: bytes, stream: str, nanoseconds: int) -> bytes:
        is_last = piece.endswith(b"\n")
        line = piece[:-1] if is_last else piece
        message = _bytes(1, stream.encode()) + _varint(2 << 3) + _varint(nanoseconds)
        if line:
            message += _bytes(3, line)
        before = self._partial.pop(stream, None)
        if before or not is_last:
            partial = _Partial(before.id, before.ordinal + 1) if before else _Partial(os.urandom(32).hex(), 1)
            about = (_number(1, 1) if is_last else b"") + _bytes(2, partial.id.encode()) + _number(3, partial.ordinal)
            message += _number(4, 1) + _bytes(5, about)
            if not is_last:
                self._partial[stream] = partial
        length = len(message).to_bytes(_LENGTH, "big")
        return length + message + length


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3 | _VARINT) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | _BYTES) + _varint(len(value)) + value


# Reading


def lines(descriptor: int, offset: int) -> Iterator[tuple[bytes, int]]:
    """Complete messages from ``offset`` on, each with the offset behind it; ends at the end or where it is damaged."""
    pending = b""
    start = offset
    while block := os.pread(descriptor, _BLOCK, start + len(pending)):
        pending += block
        for message, following in _messages(pending):
            yield message, start + following
        used = _used(pending)
        start += used
        pending = pending[used:]
        if len(pending) > _LONGEST:
            return


def _messages(data: bytes) -> Iterator[tuple[bytes, int]]:
    position = 0
    while (end := _end(data, position)) >= 0:
        yield data[position + _LENGTH : end - _LENGTH], end
        position = end


def _used(data: bytes) -> int:
    position = 0
    while (end := _end(data, position)) >= 0:
        position = end
    return position


def _end(data: bytes, position: int) -> int:
    """Where the entry at ``position`` ends; -1 when it is not whole."""
    if len(data) < position + _LENGTH:
        return -1
    end = position + 2 * _LENGTH + int.from_bytes(data[position : position + _LENGTH], "big")
    return end if end <= len(data) else -1


def older_lines(path: str) -> Iterator[bytes]:
    """Messages of an older file, compressed or not; none when it has gone meanwhile."""
    for message, _ in _messages(b"".join(jsonlog.older_lines(path))):
        yield message


def tail_offset(descriptor: int, count: int) -> int:
    """Where the last ``count`` entries of the file begin."""
    position = os.fstat(descriptor).st_size
    while count > 0 and position >= 2 * _LENGTH:
        length = int.from_bytes(os.pread(descriptor, _LENGTH, position - _LENGTH), "big")
        if (before := position - length - 2 * _LENGTH) < 0:
            break
        position, count = before, count - 1
    return position


def parse(message: bytes) -> Entry | None:
    """One message; ``None`` for a damaged one."""
    try:
        fields = _fields(message)
        about = _fields(_as_bytes(fields.get(5, b"")))
        line = _as_bytes(fields.get(3, b"")).decode("utf-8", "replace")
        whole = not fields.get(4) or about.get(1)
        moment = fields[2]
        if not isinstance(moment, int):
            return None
        return Entry(line + ("\n" if whole else ""), _as_bytes(fields[1]).decode(), moment)
    except (KeyError, IndexError, ValueError):
        return None


def _as_bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number where bytes belong")
    return value


def _fields(message: bytes) -> dict[int, int | bytes]:
    """Field to value. Raises :class:`ValueError`, :class:`IndexError` for what is none."""
    found: dict[int, int | bytes] = {}
    position = 0
    while position < len(message):
        key, position = _read_varint(message, position)
        value, position = _read_varint(message, position)
        if key & 7 == _BYTES:
            if position + value > len(message):
                raise ValueError("a field is longer than its message")
            found[key >> 3] = message[position : position + value]
            position += value
        elif key & 7 == _VARINT:
            found[key >> 3] = value
        else:
            raise ValueError(f"a field of the kind {key & 7}")
    return found


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    number = shift = 0
    while shift < 70:
        byte = data[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
        shift += 7
    raise ValueError("a number is too long")
