"""What wastes space in an image that was built: bytes of one layer that a later one hides.

Read from the records of the layers' archives, which have every file's header, size and checksum; no file is opened.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from lamina.dataroot import DataRoot
from lamina.digest import ChainID
from lamina.dockerfile.instructions import Location
from lamina.layer.contract import LayerStore
from lamina.layer.database import TAR_SPLIT
from lamina.tarball import header as tar
from lamina.tarball import tarsplit
from lamina.tarball.reader import TarReader
from lamina.typing import NamedTuple

REMOVED, REPLACED, CHANGED = "removed", "replaced", "changed"
_WHITEOUT, _OPAQUE = b".wh.", b".wh..wh..opq"
_ZEROS = bytes(1 << 20)
#: Paths that are kept as examples.
_EXAMPLES = 3


class Made(NamedTuple):
    """A layer of the build.

    :ivar location: of the instruction that made it.
    """

    chain: ChainID | None
    location: Location


class Waste(NamedTuple):
    """Bytes that the image has and nobody sees.

    :ivar how: ``removed``: a later layer removes the files; ``replaced``: it has others in their place; ``changed``: it
        has them again, with the same content, and another owner, mode or time.
    :ivar added: the instruction that added them; ``None`` for the base image.
    :ivar hidden: the instruction of the later layer.
    :ivar files: how many they are.
    :ivar examples: some of their paths.
    """

    how: str
    added: Location | None
    hidden: Location
    size: int
    files: int
    examples: tuple[str, ...]


class _File(NamedTuple):
    location: Location | None
    size: int
    checksum: bytes


def find_waste(root: DataRoot, layers: LayerStore, base: ChainID | None, made: Sequence[Made]) -> list[Waste]:
    """All of it, the largest first.

    :param base: the stack that the build began with.
    """
    image = _Image()
    for layer in layers.stack(base):
        image.add(None, _entries(_record(root, layer.chain_id)))
    for one in made:
        if one.chain is not None:
            image.add(one.location, _entries(_record(root, one.chain)))
    return sorted(image.waste(), key=lambda waste: (-waste.size, waste.hidden.line, waste.how))


def _record(root: DataRoot, chain: ChainID) -> str:
    return root.store("layerdb", "sha256", chain.hex, TAR_SPLIT)


def _entries(path: str) -> Iterator[tuple[tar.Header, bytes]]:
    """The headers of a layer's archive, each with the checksum of its content, empty for none."""
    checksum = b""

    def chunks() -> Iterator[bytes]:
        """The archive with zeros for content."""
        nonlocal checksum
        for entry in tarsplit.read(path):
            if not entry.is_file:
                yield entry.payload
                continue
            checksum = entry.payload
            left = entry.size
            while left:
                piece = min(left, len(_ZEROS))
                yield _ZEROS[:piece]
                left -= piece

    reader = TarReader(chunks())
    for header in reader:
        for _ in reader.pieces():
            pass
        yield header, checksum if header.stored or header.size else b""


class _Image:
    """The files so far, by path, and what was hidden on the way."""

    def __init__(self) -> None:
        self._files: dict[bytes, _File] = {}
        self._waste: dict[tuple[str, Location | None, Location], tuple[int, int, tuple[str, ...]]] = {}

    def add(self, location: Location | None, entries: Iterable[tuple[tar.Header, bytes]]) -> None:
        """One more layer."""
        found = []
        for header, checksum in entries:
            path = header.name.strip(b"/").removeprefix(b"./")
            directory, _, name = path.rpartition(b"/")
            if name == _OPAQUE:
                self._hide_below(directory, location)
            elif name.startswith(_WHITEOUT):
                self._hide(_joined(directory, name[len(_WHITEOUT) :]), location)
            else:
                found.append((path, header, checksum))
        for path, header, checksum in found:
            if header.kind == tar.REGULAR:
                new = _File(location, header.size, checksum)
                self._replace(path, new)
                self._files[path] = new
            elif header.kind != tar.DIRECTORY:
                self._hide(path, location, REPLACED)

    def waste(self) -> list[Waste]:
        """What was hidden, one for each pair of instructions."""
        return [
            Waste(how, added, hidden, size, files, examples)
            for (how, added, hidden), (size, files, examples) in self._waste.items()
        ]

    def _hide_below(self, directory: bytes, location: Location | None) -> None:
        prefix = directory + b"/" if directory else b""
        for path in [path for path in self._files if path.startswith(prefix)]:
            self._count(REMOVED, path, self._files.pop(path), location)

    def _hide(self, path: bytes, location: Location | None, how: str = REMOVED) -> None:
        """A file that goes, or a directory with all that is in it."""
        known = self._files.pop(path, None)
        if known is not None:
            self._count(how, path, known, location)
        elif how == REMOVED:
            self._hide_below(path, location)

    def _replace(self, path: bytes, new: _File) -> None:
        known = self._files.get(path)
        if known is None:
            return
        same = known.size == new.size and known.checksum == new.checksum
        self._count(CHANGED if same else REPLACED, path, known, new.location)

    def _count(self, how: str, path: bytes, known: _File, hidden: Location | None) -> None:
        """Bytes of the base image are its own matter, unless the build has them a second time."""
        if hidden is None or hidden == known.location or (known.location is None and how != CHANGED):
            return
        size, files, examples = self._waste.get((how, known.location, hidden), (0, 0, ()))
        if len(examples) < _EXAMPLES:
            examples = (*examples, "/" + path.decode("utf-8", "backslashreplace"))
        self._waste[how, known.location, hidden] = size + known.size, files + 1, examples


def _joined(directory: bytes, name: bytes) -> bytes:
    return directory + b"/" + name if directory else name
