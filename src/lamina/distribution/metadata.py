"""What Docker remembers about where layers came from and went to: ``image/<driver>/distribution``.

Two maps of small files, both caches (what is damaged counts as absent): ``diffid-by-digest/<algorithm>/<hex>`` holds
the DiffID of a blob that was verified once, ``v2metadata-by-diffid/<algorithm>/<hex>`` a JSON list of the blobs that a
DiffID is known as and the repositories that had them. Source: a root that dockerd 20.10 wrote.
"""

from __future__ import annotations

import os

from lamina import atomicfile, json
from lamina.dataroot import DataRoot
from lamina.digest import DiffID, Digest, InvalidDigest
from lamina.registry.credentials import Credential
from lamina.typing import NamedTuple

#: Docker remembers this many places for one DiffID.
_LIMIT = 50
_FILE_LIMIT = 1 << 20


class BlobPlace(NamedTuple):
    """A blob and a repository (``docker.io/library/nginx``) that has it; a member of the JSON list.

    :ivar hmac: ``""`` after a pull; after a push it proves, without showing them, which credentials were used.
    """

    digest: Digest
    repository: str
    hmac: str = ""


class DistributionMetadata:
    """Both maps of one data root."""

    def __init__(self, root: DataRoot) -> None:
        self._root = root

    def diff_id(self, digest: Digest) -> DiffID | None:
        """The DiffID of a blob, when one that had it was verified before."""
        raw = _read(self._path("diffid-by-digest", digest))
        try:
            return DiffID(raw.decode("ascii", "replace").strip()) if raw else None
        except InvalidDigest:
            return None

    def places(self, diff_id: DiffID) -> list[BlobPlace]:
        """Where a layer is known to be, the latest last."""
        raw = _read(self._path("v2metadata-by-diffid", diff_id))
        try:
            entries = json.loads(raw) if raw else []
            return [_place(entry) for entry in entries]
        except (ValueError, TypeError, KeyError, RecursionError, InvalidDigest):
            return []

    def add(self, diff_id: DiffID, place: BlobPlace) -> None:
        """Remember a verified blob and a place that has it."""
        with self._root.lock("distribution"):
            known = [other for other in self.places(diff_id) if other != place]
            entries = [
                {"Digest": other.digest, "SourceRepository": other.repository, "HMAC": other.hmac}
                for other in [*known, place][-_LIMIT:]
            ]
            raw = json.dumps(entries, separators=(",", ":")).encode()
            self._write("v2metadata-by-diffid", diff_id, raw)
            self._write("diffid-by-digest", place.digest, diff_id.encode())

    def _path(self, name: str, key: Digest) -> str:
        return self._root.store("distribution", name, key.algorithm, key.hex)

    def _write(self, name: str, key: Digest, raw: bytes) -> None:
        path = self._path(name, key)
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        # A cache: after a crash an empty file counts as absent, here and in Docker.
        atomicfile.write(path, raw, mode=0o644, sync=False)


def hmac_key(credential: Credential | None) -> bytes:
    """What :func:`place_hmac` is keyed by: Docker's digest of the credentials' JSON, of ``{}`` without any."""
    members = {}
    if credential is not None:
        fields = (("username", credential.username), ("password", credential.password))
        members = {name: value for name, value in (*fields, ("identitytoken", credential.identity_token)) if value}
    text = json.dumps(members, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&\u2028\u2029":  # Go's encoder escapes these
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Digest.of(text.encode()).encode()


def place_hmac(key: bytes, digest: Digest, repository: str) -> str:
    """The ``HMAC`` of a place that was pushed to."""
    import hashlib
    import hmac

    return hmac.new(key, (digest + repository).encode(), hashlib.sha256).hexdigest()


def _place(entry: dict[str, str]) -> BlobPlace:
    return BlobPlace(Digest(entry["Digest"]), str(entry["SourceRepository"]), str(entry.get("HMAC", "")))


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(_FILE_LIMIT)
    except OSError:
        return b""
