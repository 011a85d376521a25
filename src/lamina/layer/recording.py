"""What a layer is whose files are in place already: the DiffID of its tar, and the tar-split record.

The same bytes as :func:`lamina.layer.difference.overlay_tar` and a reader of it would give, in one pass and without
reading back the headers that were just made. Nearly all files of nearly all layers are plain: one name, no attributes,
a header without extensions. They take a short way.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator

from lamina.digest import DiffID, hasher
from lamina.graphdriver.contract import DiffForm
from lamina.layer import difference
from lamina.layer.contract import UnpackResult
from lamina.layer.pack import Packer
from lamina.layer.pipeline import TarSplitFile
from lamina.layer.tree import Node, name_on_host, walk
from lamina.owners import SAME, Owners
from lamina.tarball.header import BLOCK, SYMLINK, Header
from lamina.tarball.reader import TarReader
from lamina.tarball.tarsplit import Recorder
from lamina.tarball.writer import END, encode, padding, plain_file
from lamina.unionfs import whiteout

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
#: Not blocking, for a fifo that took the file's place meanwhile.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
#: Bytes that are hashed at once.
_BATCH = 1 << 18
_SECOND = 1_000_000_000


class Recording:
    """The digest and the record of an archive whose entries come one by one.

    :param write: gets the record's lines.
    """

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._recorder = Recorder(write)
        self._digest = hasher()
        self._batch: list[bytes] = []
        self._pending = 0
        self._padding = b""
        self._total = 0
        self._size = 0

    def small(self, name: bytes, header: bytes, content: bytes) -> None:
        """A regular file that is in memory. ``header`` is its encoded block."""
        raw = self._padding + header
        size = len(content)
        self._recorder.small(raw, name, content)
        self._padding = bytes(-size % BLOCK)
        self._size += size
        self._batch += (raw, content)
        self._pending += len(raw) + size
        if self._pending >= _BATCH:
            self._flush()

    def entry(self, header: Header, content: Iterable[bytes] = ()) -> None:
        """Any entry; ``content`` has as many bytes as the header says."""
        raw = self._padding + encode(header)
        self._recorder.segment(raw)
        self._add(raw)
        for piece in content:
            self._recorder.content(piece)
            self._add(piece)
        self._recorder.file(header.name, header.size)
        self._padding = padding(header.size)
        self._size += len(header.linkname) if header.kind == SYMLINK else header.size

    def finish(self) -> UnpackResult:
        """End the archive."""
        raw = self._padding + END
        self._recorder.segment(raw)
        self._recorder.close()
        self._add(raw)
        self._flush()
        return UnpackResult(DiffID.from_hash(self._digest), self._size, self._total)

    def _add(self, data: bytes) -> None:
        self._batch.append(data)
        self._pending += len(data)
        if self._pending >= _BATCH:
            self._flush()

    def _flush(self) -> None:
        data = b"".join(self._batch)
        self._digest.update(data)
        self._total += len(data)
        self._batch.clear()
        self._pending = 0


def record_upper(
    directory: str, form: DiffForm, tar_split_path: str, *, owners: Owners = SAME, latest: int | None = None
) -> UnpackResult:
    """Record the tar of a directory that holds only what a layer changes, as unpacking it would have.

    Sockets in it are removed: no layer holds them.

    :param owners: who has files in the archive for those who have them here.
    :param latest: seconds since the epoch; files that were changed later get this time.
    """
    if form is not DiffForm.OVERLAY:
        difference.tidy(directory, latest)
        return _through_reader(difference.upper_tar(directory, form, owners), tar_split_path)
    with TarSplitFile(tar_split_path) as file:
        result = _overlay(directory, file.write, owners, latest=latest)
        file.finish()
    return result


def _through_reader(tar: Iterable[bytes], tar_split_path: str) -> UnpackResult:
    """Write the tar-split record of an archive whose files are in place already; what unpacking it would have found."""
    digest = hasher()
    total = size = 0

    def observed() -> Iterator[bytes]:
        nonlocal total
        for chunk in tar:
            total += len(chunk)
            digest.update(chunk)
            yield chunk

    with TarSplitFile(tar_split_path) as file:
        recorder = Recorder(file.write)
        reader = TarReader(observed(), recorder)
        while (header := reader.next()) is not None:
            size += len(header.linkname) if header.kind == SYMLINK else header.size
        reader.drain()
        recorder.close()
        file.finish()
    return UnpackResult(DiffID.from_hash(digest), size, total)


def _overlay(
    directory: str, write: Callable[[bytes], object], owners: Owners = SAME, *, latest: int | None = None
) -> UnpackResult:
    """Record the tar of an overlayfs upper directory. Sockets in it are removed: no layer holds them.

    :param write: gets the tar-split record's lines.
    :param latest: seconds since the epoch; files that were changed later get this time.

    Raises as :func:`lamina.layer.difference.overlay_tar`.
    """
    recording = Recording(write)
    packer = Packer(owners)
    short = not owners.are_mapped
    limit = None if latest is None else latest * _SECOND
    root = os.open(directory, _DIRECTORY)
    try:
        for node in walk(root):
            if limit is not None and node.status.st_mtime_ns > limit:
                os.utime(node.name, ns=(limit, limit), dir_fd=node.directory, follow_symlinks=False)
                status = os.stat(node.name, dir_fd=node.directory, follow_symlinks=False)
                node = node._replace(status=status)  # noqa: PLW2901  # it is another one now
            plain = short and stat.S_ISREG(node.status.st_mode) and node.status.st_nlink == 1
            if not (plain and _plain(recording, node)):
                _any(recording, packer, node)
    finally:
        os.close(root)
    return recording.finish()


def _plain(recording: Recording, node: Node) -> bool:
    """Record a small file without peculiarities; ``False`` for any other, of which nothing is recorded."""
    status = node.status
    size = status.st_size
    if size > _BATCH or node.name.startswith(whiteout.PREFIX):
        return False
    header = plain_file(node.path, status)
    if header is None:
        return False
    if not size:
        if os.listxattr(name_on_host(node), follow_symlinks=False):
            return False
        recording.small(node.path, header, b"")
        return True
    descriptor = os.open(node.name, _READ, dir_fd=node.directory)
    try:
        if os.listxattr(descriptor):
            return False
        content = os.read(descriptor, size)
    finally:
        os.close(descriptor)
    if len(content) != size:
        return False
    recording.small(node.path, header, content)
    return True


def _any(recording: Recording, packer: Packer, node: Node) -> None:
    if whiteout.is_overlay_whiteout(node.status):
        recording.entry(packer.mark(node.path))
    elif stat.S_ISSOCK(node.status.st_mode):
        os.unlink(node.name, dir_fd=node.directory)
    else:
        for header in packer.headers(node):
            content = packer.content(node, header)
            if content is None:
                return
            recording.entry(header, content)
