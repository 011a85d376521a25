"""gzip on all cores, with one answer whatever their number.

The input is cut into blocks of a fixed size. Each is deflated on its own with the 32 KiB before it as preset dictionary
and ends on a byte boundary (a sync flush), so the blocks put together are one deflate stream in one gzip member (RFC
1951, RFC 1952).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator
from itertools import chain

from lamina.collections import deque

#: Bytes of input per block.
BLOCK_SIZE = 1 << 20

#: How far back deflate can refer.
_WINDOW = 1 << 15

#: isal knows 0 to 3; its 2 is its default.
_LEVEL = 2

#: No name, no time; operating system "unknown", as Go writes it.
_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"


def compress(chunks: Iterable[bytes], *, workers: int | None = None) -> Iterator[bytes]:
    """One gzip member with all of ``chunks``. The same input gives the same bytes, however it is cut.

    Between a head and an end each piece that comes out stands for a block, the last one for what was left.

    :param workers: threads; ``None`` takes one per usable core.
    """
    from isal.isal_zlib import crc32

    blocks = _blocks(chunks)
    first, only = next(blocks)
    yield _HEADER
    if only:  # there is nothing to share between threads, which take longer to load than this takes
        yield _deflate(first, b"", only)
        yield struct.pack("<II", crc32(first, 0), len(first))
        return
    from concurrent.futures import Future, ThreadPoolExecutor

    workers = workers or len(os.sched_getaffinity(0))
    checksum = length = 0
    dictionary = b""
    pending: deque[Future[bytes]] = deque()
    with ThreadPoolExecutor(workers, "lamina-gzip") as pool:
        for block, last in chain(((first, only),), blocks):
            pending.append(pool.submit(_deflate, block, dictionary, last))
            checksum = crc32(block, checksum)
            length += len(block)
            dictionary = block[-_WINDOW:]
            if len(pending) > workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    yield struct.pack("<II", checksum, length & 0xFFFFFFFF)


def _deflate(block: bytes, dictionary: bytes, last: bool) -> bytes:
    from isal import isal_zlib

    if dictionary:
        deflater = isal_zlib.compressobj(level=_LEVEL, wbits=-15, zdict=dictionary)
    else:
        deflater = isal_zlib.compressobj(level=_LEVEL, wbits=-15)
    body: bytes = deflater.compress(block)
    return body + bytes(deflater.flush(isal_zlib.Z_FINISH if last else isal_zlib.Z_SYNC_FLUSH))


def _blocks(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """``chunks`` cut anew into blocks, and whether a block is the last; at least one, perhaps empty."""
    parts: list[bytes] = []
    held = 0
    for chunk in chunks:
        start = 0
        while held + len(chunk) - start > BLOCK_SIZE:
            end = start + BLOCK_SIZE - held
            parts.append(chunk[start:end])
            yield b"".join(parts), False
            parts.clear()
            held = 0
            start = end
        parts.append(chunk[start:])
        held += len(chunk) - start
    yield b"".join(parts), True
