"""What the build cache holds, one entry for each thing that can be removed by itself."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

from lamina.builder.cache import BuildCache, Record
from lamina.builder.mounting import CACHES
from lamina.builder.stored import DOWNLOADS, REPOSITORIES
from lamina.dataroot import DataRoot
from lamina.digest import ChainID
from lamina.errors import InvalidArgument
from lamina.layer.database import list_directory
from lamina.layer.sizes import directory_size
from lamina.oci import timestamp
from lamina.typing import NamedTuple

STEP = "regular"
#: BuildKit's names of the kinds of what is kept in directories, and words for them.
_DIRECTORIES = {
    CACHES: ("exec.cachemount", "a cache mount"),
    DOWNLOADS: ("source.http", "a download"),
    REPOSITORIES: ("source.git.checkout", "a git repository"),
}
#: Names that ``--filter`` may have, beside ``until``.
FILTERS = ("description", "id", "type")


class InvalidFilter(InvalidArgument):
    """``--filter`` names something else."""


class CacheEntry(NamedTuple):
    """One entry.

    :ivar kind: ``regular`` for a step, else one of BuildKit's other words.
    :ivar created: seconds since the epoch, as ``used``, the last use.
    :ivar path: of a directory.
    :ivar record: of a step.
    """

    id: str
    kind: str
    description: str
    size: int
    created: float
    used: float
    path: str = ""
    record: Record | None = None

    @property
    def chain(self) -> ChainID | None:
        return self.record.step.chain if self.record is not None else None


def entries(root: DataRoot) -> Iterator[CacheEntry]:
    """All of them, in no particular order."""
    for record in BuildCache(root).records():
        history = record.step.history
        created = timestamp.or_zero(str(history.get("created") or "")) / timestamp.SECOND
        description = str(history.get("created_by") or "")
        yield CacheEntry(record.step.key, STEP, description, record.step.size, created, record.used, record=record)
    for place, (kind, description) in _DIRECTORIES.items():
        home = root.sub(place)
        for name in list_directory(home):
            path = f"{home}/{name}"
            try:
                status = os.stat(path)
            except FileNotFoundError:
                continue
            yield CacheEntry(name, kind, description, directory_size(path), status.st_ctime, status.st_mtime, path)


def check_filters(filters: Mapping[str, Sequence[str]]) -> None:
    """Raises :class:`InvalidFilter` for names that :func:`matches` does not know."""
    unknown = sorted(set(filters) - set(FILTERS))
    if unknown:
        raise InvalidFilter(f'failed to parse filter: invalid filter "{unknown[0]}"')


def matches(entry: CacheEntry, filters: Mapping[str, Sequence[str]]) -> bool:
    """Whether an entry is meant: by the beginning of its ID, its kind, a part of its description.

    Of several values of one name one is enough.
    """
    for name, values in filters.items():
        if name == "id" and not any(entry.id.startswith(value) for value in values):
            return False
        if name == "type" and entry.kind not in values:
            return False
        if name == "description" and not any(value in entry.description for value in values):
            return False
    return True
