"""Blobs on their way in: every byte hashed and counted as it passes, broken connections resumed."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType

from lamina.contextlib import suppress
from lamina.digest import Digest, DigestMismatch, hasher
from lamina.errors import Cancelled, Corrupt
from lamina.oci.descriptor import Descriptor
from lamina.registry.answer import Answer
from lamina.registry.errors import BrokenTransfer, ConnectionFailed, printable
from lamina.typing import Self

#: Bytes read at once: large enough that the interpreter's share of the work disappears.
_CHUNK = 512 << 10
#: Seconds to wait for the rest of a chunk.
_MOMENT = 0.1
#: A connection that brought this much before it broke does not count as a failed attempt.
_HEADWAY = 1 << 20
_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19}|\*)\Z")

#: Opens the blob at an offset; the answer has status 200 (from the beginning) or 206.
Open = Callable[[int], Answer]


class WrongSize(Corrupt):
    """A blob is longer or shorter than its descriptor says."""


class BlobReader:
    """Iterate over it for the blob's bytes, once. After the last chunk the digest has been verified.

    :param open_at: see :data:`Open`.
    :param attempts: connections in a row that may fail without headway.
    :param delay: seconds to wait after so many failures.
    """

    def __init__(self, open_at: Open, descriptor: Descriptor, attempts: int, delay: Callable[[int], float]) -> None:
        self.descriptor = descriptor
        self._open_at = open_at
        self._attempts = attempts
        self._delay = delay
        self._hasher = hasher(descriptor.digest.algorithm)
        self._offset = 0
        self._answer: Answer | None = None
        self._cancelled = threading.Event()

    def __iter__(self) -> Iterator[bytes]:
        """The chunks.

        :raises DigestMismatch: after the last chunk: it was another blob.
        :raises WrongSize: it is longer than announced, or the server announces another length.
        :raises BrokenTransfer: it broke off and could not be resumed.
        :raises Cancelled: :meth:`cancel` was called.
        """
        failures = 0
        while True:
            begin = self._offset
            try:
                yield from self._connection()
                break
            except ConnectionFailed as error:
                self._check_cancelled()
                failures = 0 if self._offset - begin >= _HEADWAY else failures + 1
                if failures >= self._attempts:
                    raise BrokenTransfer(
                        f"blob {self.descriptor.digest}: broke off after {self._offset} of "
                        f"{self.descriptor.size} bytes: {error}"
                    ) from error
            finally:
                self._close_answer()
            self._cancelled.wait(self._delay(max(failures, 1)))
            self._check_cancelled()
        self._verify()

    def cancel(self) -> None:
        """Make the thread that iterates stop with :class:`Cancelled`. From any thread."""
        self._cancelled.set()
        answer = self._answer
        if answer is not None:
            answer.interrupt()

    def wait(self, seconds: float) -> None:
        """Wait, unless the download is cancelled meanwhile (raises :class:`Cancelled`)."""
        self._cancelled.wait(seconds)
        self._check_cancelled()

    def _connection(self) -> Iterator[bytes]:
        """The chunks that one connection brings. Raises :class:`ConnectionFailed` when it ends too early."""
        size = self.descriptor.size
        self._check_cancelled()
        answer = self._answer = self._open_at(self._offset)
        skip = self._position(answer)
        while self._offset < size or skip:
            self._check_cancelled()
            data = _gathered(answer, min(_CHUNK, skip or size - self._offset))
            if not data:
                raise ConnectionFailed("unexpected end of the answer")
            if skip:
                skip -= len(data)
                continue
            self._hasher.update(data)
            self._offset += len(data)
            yield data
        if answer.read(1):
            raise WrongSize(f"blob {self.descriptor.digest}: longer than the {size} bytes that the manifest announces")

    def _position(self, answer: Answer) -> int:
        """How many bytes of the answer's body were seen before: none of a partial answer, all of them of a whole one.

        Bytes that are skipped are not hashed again: the digest covers those that were passed on.
        """
        size, length = self.descriptor.size, answer.length
        if answer.status == 206:
            match = _CONTENT_RANGE.match(answer.header("Content-Range").strip())
            if match is None or int(match[1]) != self._offset or match[3] not in (str(size), "*"):
                what = printable(answer.header("Content-Range"))
                raise ConnectionFailed(f"{answer.what}: asked for bytes from {self._offset}, got {what!r}")
            return 0
        if length is not None and length != size:
            raise WrongSize(
                f"blob {self.descriptor.digest}: the registry announces {length} bytes, the manifest {size}"
            )
        return self._offset

    def _verify(self) -> None:
        expected = self.descriptor.digest
        actual = Digest.from_hash(self._hasher, expected.algorithm)
        if actual != expected:
            raise DigestMismatch(f"filesystem layer verification failed for digest {expected}", expected, actual)

    def _check_cancelled(self) -> None:
        if self._cancelled.is_set():
            raise Cancelled("context canceled")

    def _close_answer(self) -> None:
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close_answer()


def _gathered(answer: Answer, size: int) -> bytes:
    """``size`` bytes, or what comes within a moment, so that whoever watches a slow transfer sees it go on."""
    data = answer.read(size)
    if not data or len(data) == size:
        return data
    pieces, missing, end = [data], size - len(data), time.monotonic() + _MOMENT
    with suppress(ConnectionFailed):  # what came counts; the next attempt to read fails again
        while missing and time.monotonic() < end and (data := answer.read(missing)):
            pieces.append(data)
            missing -= len(data)
    return b"".join(pieces)


def read_whole(reader: BlobReader) -> bytes:
    """All bytes of a small blob, verified."""
    with reader:
        return b"".join(reader)
