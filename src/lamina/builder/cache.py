"""The build cache: what a step made, by the key of everything that decided it.

``<root>/lamina/build-cache/steps/<key>`` is one JSON document per step, written whole and renamed into place, its time
that of its last use. A record names a layer by ChainID; the image store keeps layers that a record names
(:mod:`lamina.image.kept`). A record whose layer is gone is no record. Nothing in here comes from an image that somebody
loaded or pulled: only steps that were run on this root are believed (CVE-2024-24557).

``picks/`` remembers what a ``COPY --from`` takes out of a stack of layers, which never changes.

``sums/`` remembers digests of files by what ``stat`` says of them, so that a build reads only what changed.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator

from lamina import atomicfile, json
from lamina.characters import is_hex
from lamina.contextlib import suppress
from lamina.dataroot import DataRoot
from lamina.digest import ChainID, DiffID, InvalidDigest, chain_id
from lamina.image.kept import STEPS
from lamina.typing import Any, NamedTuple

PICKS = "lamina/build-cache/picks"
_LIMIT = 4 << 20


class Step(NamedTuple):
    """One step's result.

    :ivar chain: the stack after it; ``None`` for an empty tree.
    :ivar diff_id: its own layer; ``None`` when it changed no file.
    :ivar history: its entry in an image's history.
    :ivar size: bytes of its layer.
    """

    key: str
    chain: ChainID | None
    diff_id: DiffID | None
    history: dict[str, Any]
    size: int = 0

    def fits(self, below: ChainID | None) -> bool:
        """Whether it was made on the stack ``below``."""
        return self.chain == (below if self.diff_id is None else chain_id(below, self.diff_id))

    def to_json(self) -> dict[str, Any]:
        """All but the key."""
        return {"chain": self.chain, "diff_id": self.diff_id, "history": self.history, "size": self.size}

    @classmethod
    def from_json(cls, key: str, document: dict[str, Any]) -> Step:
        """Raises what a document of another shape makes fail: ``KeyError``, ``TypeError``, ``ValueError``."""
        chain, diff_id = document["chain"], document["diff_id"]
        return cls(
            key,
            ChainID(chain) if chain is not None else None,
            DiffID(diff_id) if diff_id is not None else None,
            dict(document["history"]),
            int(document["size"]),
        )


class Pick(NamedTuple):
    """What sources of a ``COPY --from`` are, in layers that can't change.

    :ivar digests: of each thing to copy.
    :ivar facts: what else decides the result, JSON values.
    """

    digests: tuple[str, ...]
    facts: tuple[object, ...]

    def to_json(self) -> dict[str, Any]:
        return {"digests": self.digests, "facts": self.facts}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Pick:
        """Raises as :meth:`Step.from_json`."""
        return cls(tuple(str(digest) for digest in document["digests"]), tuple(document["facts"]))


class Record(NamedTuple):
    """A step on disk. ``used`` is seconds since the epoch."""

    step: Step
    used: float


class BuildCache:
    """The cache of one data root; safe between threads and processes."""

    def __init__(self, root: DataRoot) -> None:
        self._root = root
        self._directory = root.sub(STEPS)
        self._picks = root.sub(PICKS)

    def get(self, key: str) -> Step | None:
        """The step with that key. What is damaged is as good as absent."""
        path = f"{self._directory}/{key}"
        try:
            with open(path, "rb") as file:
                step = Step.from_json(key, json.loads(file.read(_LIMIT)))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, InvalidDigest, RecursionError):
            return None
        with suppress(OSError):
            os.utime(path)
        return step

    def put(self, step: Step) -> None:
        """Remember a step whose layers exist; call it while a transaction keeps them.

        What was known under the key stays until it is pruned, under a key that nothing asks for: its layer may be
        nobody else's, and finding that out would take longer than the build.
        """
        os.makedirs(self._directory, 0o700, exist_ok=True)
        before = self.get(step.key)
        if before is not None and before.chain != step.chain:
            superseded = hashlib.sha256(f"{step.key} {before.chain}".encode()).hexdigest()
            os.rename(f"{self._directory}/{step.key}", f"{self._directory}/{superseded}")
        data = json.dumps(step.to_json(), separators=(",", ":")).encode()
        atomicfile.write(f"{self._directory}/{step.key}", data, sync=False)

    def records(self) -> Iterator[Record]:
        """All readable records, in no particular order."""
        for key in self.keys():
            try:
                used = os.stat(f"{self._directory}/{key}").st_mtime
                with open(f"{self._directory}/{key}", "rb") as file:
                    yield Record(Step.from_json(key, json.loads(file.read(_LIMIT))), used)
            except (OSError, ValueError, KeyError, TypeError, AttributeError, InvalidDigest, RecursionError):
                continue

    def keys(self) -> list[str]:
        try:
            return [name for name in os.listdir(self._directory) if is_hex(name)]
        except FileNotFoundError:
            return []

    def remove(self, key: str) -> None:
        """Idempotent."""
        with suppress(FileNotFoundError):
            os.unlink(f"{self._directory}/{key}")

    # Picks

    def pick(self, key: str) -> Pick | None:
        """What is known under a key; what is damaged is as good as absent."""
        try:
            with open(f"{self._picks}/{key}", "rb") as file:
                return Pick.from_json(json.loads(file.read(_LIMIT)))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None

    def put_pick(self, key: str, pick: Pick) -> None:
        """Remember it; without it the next build only takes longer."""
        with suppress(OSError):
            os.makedirs(self._picks, 0o700, exist_ok=True)
            atomicfile.write(f"{self._picks}/{key}", json.dumps(pick.to_json()).encode(), sync=False)


def age(record: Record) -> float:
    """Seconds since the last use."""
    return max(0.0, time.time() - record.used)
