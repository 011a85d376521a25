"""Maps of sparse files: which parts of a file an archive stores.

Source: GNU tar's manual, "Storing Sparse Files". A map is a flat array: offset, length, offset, length, ...
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator

from lamina.tarball.header import BLOCK, InvalidTar, number
from lamina.tarball.pax import MAX_EXTENSION

_HOLE = bytes(1 << 16)


def validate(regions: array[int], size: int, stored: int) -> array[int]:
    """``regions`` when they are ascending, inside ``size`` and add up to ``stored`` bytes; else :class:`InvalidTar`."""
    if len(regions) % 2 or size < 0:
        raise InvalidTar("archive/tar: invalid tar header: sparse map")
    position = total = 0
    for index in range(0, len(regions), 2):
        offset, length = regions[index], regions[index + 1]
        if offset < position or length < 0 or offset > size - length:
            raise InvalidTar("archive/tar: invalid tar header: sparse map")
        position = offset + length
        total += length
    if total != stored:
        raise InvalidTar("archive/tar: sparse file references non-existent data")
    return regions


def _add_old_entries(regions: array[int], block: bytes, start: int, count: int) -> None:
    for at in range(start, start + 24 * count, 24):
        if not block[at]:
            return
        regions.append(_non_negative(number(block[at : at + 12])))
        regions.append(_non_negative(number(block[at + 12 : at + 24])))


def _non_negative(value: int) -> int:
    if value < 0:
        raise InvalidTar("archive/tar: invalid tar header: sparse map")
    return value


def read_old(block: bytes, next_block: Callable[[], bytes]) -> tuple[int, array[int]]:
    """Old GNU format (type ``S``): the file's size and its map, from the header and the blocks that extend it."""
    regions = array("q")
    _add_old_entries(regions, block, 386, 4)
    size = _non_negative(number(block[483:495]))
    extended = block[482]
    budget = MAX_EXTENSION
    while extended:
        budget -= BLOCK
        if budget < 0:
            raise InvalidTar("archive/tar: sparse map too long")
        block = next_block()
        _add_old_entries(regions, block, 0, 21)
        extended = block[504]
    return size, regions


def read_1_0(next_block: Callable[[], bytes]) -> tuple[array[int], int]:
    """PAX format 1.0: decimal lines at the start of the content, padded to a block; the map and the bytes it took."""
    regions = array("q")
    data = b""
    taken = 0
    wanted = -1
    while wanted < 0 or len(regions) < wanted:
        line, newline, rest = data.partition(b"\n")
        if not newline:
            if len(data) > 24 or taken >= MAX_EXTENSION:
                raise InvalidTar("archive/tar: invalid tar header: sparse map")
            data += next_block()
            taken += BLOCK
            continue
        data = rest
        if not line.isdigit() or len(line) > 19 or int(line) >= 1 << 63:
            raise InvalidTar("archive/tar: invalid tar header: sparse map")
        if wanted < 0:
            wanted = 2 * int(line)
        else:
            regions.append(int(line))
    return regions, taken


def expand(regions: array[int], size: int, pieces: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    """The whole content, holes as zeros, from the stored ``pieces``."""
    source = iter(pieces)
    piece: bytes | memoryview = b""
    position = 0
    for index in range(0, len(regions), 2):
        offset, length = regions[index], regions[index + 1]
        yield from _zeros(offset - position)
        position = offset + length
        while length:
            if not piece:
                piece = memoryview(next(source))
            part = piece[:length]
            piece = piece[len(part) :]
            length -= len(part)
            yield part
    yield from _zeros(size - position)


def _zeros(count: int) -> Iterator[bytes]:
    while count > 0:
        yield _HOLE[:count]
        count -= len(_HOLE)
