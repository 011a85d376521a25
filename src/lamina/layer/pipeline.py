"""One layer's way from compressed bytes to files: decompress, hash, record, extract."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator

from lamina.atomicfile import naming, write_all
from lamina.contextlib import ExitStack
from lamina.digest import DiffID, hasher
from lamina.functools import partial
from lamina.graphdriver.contract import DiffForm
from lamina.layer.apply import Applier
from lamina.layer.contract import UnpackResult
from lamina.owners import SAME, Owners
from lamina.tarball.compression import decompress
from lamina.tarball.reader import TarReader
from lamina.tarball.tarsplit import Recorder
from lamina.typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from queue import Queue

#: Chunks of at most 1 MiB that wait between two threads.
_WAITING = 4

#: isal's fastest level: half of a tar-split file is zeros.
_TAR_SPLIT_LEVEL = 1


class UnpackTarget(NamedTuple):
    """Where a layer goes.

    :ivar directory: existing host directory that gets the content.
    :ivar tar_split_path: file to write ``tar-split.json.gz`` to; ``""`` for none.
    :ivar inherit: descriptors that the worker keeps open: a lock that must be held until it has ended.
    :ivar owners: who gets files there for those who have them in the archive.
    """

    directory: str
    form: DiffForm
    tar_split_path: str = ""
    inherit: tuple[int, ...] = ()
    owners: Owners = SAME


class TarSplitFile:
    """The gzip file that a recorder writes its lines to; a context manager. :meth:`finish` makes it whole."""

    def __init__(self, path: str) -> None:
        from isal import isal_zlib

        self._compressor = isal_zlib.compressobj(level=_TAR_SPLIT_LEVEL, wbits=31)
        self._path = path
        self._file = open(path, "wb", buffering=0, opener=_open_metadata)  # noqa: SIM115  # closed by __exit__

    def __enter__(self) -> TarSplitFile:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def write(self, lines: bytes) -> None:
        self._append(self._compressor.compress(lines))

    def finish(self) -> None:
        self._append(self._compressor.flush())

    def _append(self, data: bytes) -> None:
        with naming(self._path):
            write_all(self._file.fileno(), data)


def _open_metadata(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o644)


#: Calls a function with some bytes, now or soon; calls keep their order.
Offload = Callable[[Callable[[bytes], object], bytes], object]


def unpack(compressed: Iterable[bytes], target: UnpackTarget) -> UnpackResult:
    """Fill ``target`` in the calling thread, whose umask must be 0.

    Raises ``Corrupt``, ``NoSpace``, ``Unsupported``, ``SystemFailure``; what was written stays.
    """
    return _unpack(decompress(compressed), target, lambda function, data: function(data))


def unpack_in_threads(compressed: Iterable[bytes], target: UnpackTarget) -> UnpackResult:
    """:func:`unpack` with decompression, and hashing and recording, in a thread each.

    Meant for a process of its own: after an error the threads are left where they are.
    """
    return _unpack(_Ahead(decompress(compressed)), target, _Aside())


def _unpack(plain: Iterable[bytes], target: UnpackTarget, offload: Offload) -> UnpackResult:
    digest = hasher()
    total = 0

    def observed() -> Iterator[bytes]:
        nonlocal total
        for chunk in plain:
            total += len(chunk)
            offload(digest.update, chunk)
            yield chunk

    with ExitStack() as stack:
        file = stack.enter_context(TarSplitFile(target.tar_split_path)) if target.tar_split_path else None
        recorder = Recorder(partial(offload, file.write)) if file else None
        reader = TarReader(observed(), recorder)
        root = os.open(target.directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        stack.callback(os.close, root)
        applier = Applier(root, target.form, target.owners)
        applier.apply(reader)
        reader.drain()
        if recorder is not None:
            recorder.close()
        if isinstance(offload, _Aside):
            offload.join()
        if file is not None:
            file.finish()
    return UnpackResult(DiffID.from_hash(digest), applier.size, total)


class _Ahead:
    """Runs an iterator in a thread, some items ahead of who reads them. Its error is raised where it belongs."""

    def __init__(self, items: Iterator[bytes]) -> None:
        from queue import Queue
        from threading import Thread

        self._items = items
        self._queue: Queue[bytes | BaseException | None] = Queue(_WAITING)
        Thread(target=self._run, name="lamina-decompress", daemon=True).start()

    def _run(self) -> None:
        try:
            for item in self._items:
                self._queue.put(item)
        except BaseException as error:
            self._queue.put(error)
        else:
            self._queue.put(None)

    def __iter__(self) -> Iterator[bytes]:
        while (item := self._queue.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item


class _Aside:
    """Calls functions in a thread, in order. The first error is raised by a later call."""

    def __init__(self) -> None:
        from queue import Queue
        from threading import Thread

        self._queue: Queue[tuple[Callable[[bytes], object], bytes] | None] = Queue(_WAITING)
        self._error: BaseException | None = None
        self._thread = Thread(target=self._run, name="lamina-hash", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            if self._error is None:
                try:
                    item[0](item[1])
                except BaseException as error:
                    self._error = error

    def __call__(self, function: Callable[[bytes], object], data: bytes) -> None:
        if self._error is not None:
            raise self._error
        self._queue.put((function, data))

    def join(self) -> None:
        """Wait until everything is done."""
        self._queue.put(None)
        self._thread.join()
        if self._error is not None:
            raise self._error
