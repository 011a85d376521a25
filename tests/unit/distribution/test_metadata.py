"""What Docker remembers about layers; the expected values are from a dockerd 20.10's root."""

from __future__ import annotations

from pathlib import Path

import pytest

from lamina.dataroot import DataRoot
from lamina.digest import DiffID, Digest
from lamina.distribution.metadata import BlobPlace, DistributionMetadata, hmac_key, place_hmac
from lamina.registry.credentials import Credential

_BLOB = Digest("sha256:a5ec54f53de9cf67f3852af6025ecae5b459c500e17ea5cb407f174366373702")
_DIFF_ID = DiffID("sha256:1dc45ba50566ee7e41eb05170bc92b7a4c06b69bdb9bd9f74ec9d9f8de2597ad")


@pytest.fixture
def metadata(tmp_path: Path) -> DistributionMetadata:
    return DistributionMetadata(DataRoot.open(str(tmp_path / "root"), driver="vfs"))


def test_the_hmac_of_nobody_is_docker_s() -> None:
    expected = "c4b924d93578d930db626e706d8fd8a164de436e7980ccc51e7c4993e84736ca"
    assert place_hmac(hmac_key(None), _BLOB, "127.0.0.1:49561/y") == expected


def test_the_hmac_of_a_user_is_docker_s() -> None:
    blob = Digest("sha256:4785bf1e2e83ad39fbc18e851009eb250467ea95d4b089129e99dffaa5dbc66f")
    expected = "8a14382b31d7e785a4b45d726ad8f67e33c4f63ecf506596a624a3b04fc2976e"
    assert place_hmac(hmac_key(Credential("me", "secret")), blob, "127.0.0.1:49841/new") == expected


def test_nothing_is_known_at_first(metadata: DistributionMetadata) -> None:
    assert metadata.places(_DIFF_ID) == []
    assert metadata.diff_id(_BLOB) is None


def test_the_latest_place_is_the_last_and_no_place_is_there_twice(metadata: DistributionMetadata) -> None:
    first, second = BlobPlace(_BLOB, "a.example/x"), BlobPlace(_BLOB, "b.example/x", "00")
    for place in (first, second, first):
        metadata.add(_DIFF_ID, place)
    assert metadata.places(_DIFF_ID) == [second, first]
    assert metadata.diff_id(_BLOB) == _DIFF_ID


def test_fifty_places_are_remembered(metadata: DistributionMetadata) -> None:
    for number in range(53):
        metadata.add(_DIFF_ID, BlobPlace(_BLOB, f"a.example/x{number}"))
    assert [place.repository for place in metadata.places(_DIFF_ID)] == [f"a.example/x{n}" for n in range(3, 53)]


@pytest.mark.parametrize("content", ["", "{", "[1]", '[{"Digest": "sha256:../x"}]', "null", "[" * 100_000])
def test_damaged_files_count_as_absent(metadata: DistributionMetadata, tmp_path: Path, content: str) -> None:
    metadata.add(_DIFF_ID, BlobPlace(_BLOB, "a.example/x"))
    for path in (tmp_path / "root/image/vfs/distribution").rglob("*"):
        if path.is_file():
            path.write_text(content)
    assert metadata.places(_DIFF_ID) == []
    assert metadata.diff_id(_BLOB) is None
