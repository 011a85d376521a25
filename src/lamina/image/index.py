"""What lists of images need, kept beside the store so that ten thousand configurations need not be read again.

``lamina/index/<driver>.json`` holds, by image ID, what follows from the configuration and its layers alone. An ID is a
digest over all of that, so an entry is never out of date; which images there are, and what is theirs on this host only
(names, parents), is always read from Docker's own files. The index may be absent, old or broken at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from lamina import atomicfile, json
from lamina.contextlib import suppress
from lamina.typing import NamedTuple

_VERSION = 2
#: Fewer images than this are read faster than an index is worth.
_WORTHWHILE = 64


#: Size of an image whose layers are damaged or missing: it is not kept, because they may be mended.
UNKNOWN = -1


class Entry(NamedTuple):
    """What a list shows of an image. ``created`` is nanoseconds since 1970, ``size`` the bytes of all layers."""

    created: int
    size: int
    labels: dict[str, str] | None


class ImageIndex:
    """The entries of one store.

    :param describe: makes the entry of an image by the hex part of its ID; ``None`` when it can't be read.
    """

    def __init__(self, path: str, describe: Callable[[str], Entry | None]) -> None:
        self._path = path
        self._describe = describe

    def entries(self, hexes: Iterable[str], *, save: bool) -> dict[str, Entry]:
        """Entries of the images that can be described; new ones are added to the index with ``save``."""
        wanted = list(hexes)
        known = self._read() if len(wanted) >= _WORTHWHILE else {}
        found: dict[str, Entry] = {}
        added = 0
        for name in wanted:
            entry = known.get(name)
            if entry is None:
                entry = self._describe(name)
                added += 1
            if entry is not None:
                found[name] = entry
        if save and len(found) >= _WORTHWHILE and (added > len(found) // 50 or len(known) > 2 * len(found)):
            self._write({name: entry for name, entry in found.items() if entry.size != UNKNOWN})
        return found

    def _read(self) -> dict[str, Entry]:
        try:
            with open(self._path, "rb") as file:
                document = json.loads(file.read())
            if document["Version"] != _VERSION:
                return {}
            return {name: Entry._make(fields) for name, fields in document["Images"].items()}
        except (OSError, ValueError, RecursionError, LookupError, TypeError, AttributeError):
            return {}  # absent, or not what is written here: it is made again

    def _write(self, entries: dict[str, Entry]) -> None:
        document = {"Version": _VERSION, "Images": entries}
        with suppress(OSError):  # it saves time, nothing else
            atomicfile.write(self._path, json.dumps(document, separators=(",", ":")).encode(), sync=False)
