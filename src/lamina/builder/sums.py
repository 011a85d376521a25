"""Digests of files by what ``stat`` says of them, kept between builds of one context.

``<root>/lamina/build-cache/sums/<sha256 of the context's path>``: JSON, path to ``[inode, size, mtime, ctime, mode,
digest]``. The kernel changes ``ctime`` with every change of content or metadata, and nobody can set it; a file that was
changed just before it was read is not remembered, since a second change might carry the same time.
"""

from __future__ import annotations

import hashlib
import os
import time

from lamina import atomicfile, json
from lamina.contextlib import suppress
from lamina.dataroot import DataRoot

SUMS = "lamina/build-cache/sums"
_LIMIT = 256 << 20
#: Nanoseconds that must lie between a file's change and its being read.
_SETTLED = 20_000_000


class FileSums:
    """The digests of one tree. ``path`` is where they are kept, ``""`` for nowhere."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._known: dict[str, list[object]] = {}
        self._seen: dict[str, list[object]] = {}
        self._changed = False
        if path:
            with suppress(OSError, ValueError, RecursionError), open(path, "rb") as file:
                known = json.loads(file.read(_LIMIT))
                if isinstance(known, dict):
                    self._known = known

    @classmethod
    def forgetful(cls) -> FileSums:
        """One that remembers nothing."""
        return cls("")

    @classmethod
    def of_context(cls, root: DataRoot, path: str) -> FileSums:
        name = hashlib.sha256(os.fsencode(os.path.realpath(path))).hexdigest()
        return cls(root.sub(SUMS, name))

    def get(self, path: str, status: os.stat_result) -> str | None:
        entry = self._known.get(path)
        if not isinstance(entry, list) or len(entry) != 6 or entry[:5] != _facts(status):
            return None
        digest = entry[5]
        if not isinstance(digest, str):
            return None
        self._seen[path] = entry
        return digest

    def put(self, path: str, status: os.stat_result, digest: str) -> None:
        if time.time_ns() - status.st_ctime_ns > _SETTLED:
            self._seen[path] = [*_facts(status), digest]
            self._changed = True

    def save(self) -> None:
        """Keep them for the next build; without them it only takes longer."""
        if not self._path or not (self._changed or len(self._seen) < len(self._known)):
            return
        with suppress(OSError):
            os.makedirs(os.path.dirname(self._path), 0o700, exist_ok=True)
            atomicfile.write(self._path, json.dumps(self._seen, separators=(",", ":")).encode(), sync=False)


def _facts(status: os.stat_result) -> list[object]:
    return [status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_mode]
