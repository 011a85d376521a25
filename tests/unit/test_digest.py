"""Digests are validated once and safe to use as names from then on."""

import hashlib

import pytest

from lamina.digest import HEX_LENGTH, ChainID, DiffID, Digest, InvalidDigest, chain_ids, hasher


@pytest.mark.parametrize("algorithm", sorted(HEX_LENGTH))
def test_every_registered_algorithm_hashes_and_validates(algorithm: str) -> None:
    state = hasher(algorithm)
    state.update(b"lamina")
    digest = Digest.from_hash(state, algorithm)
    assert Digest(str(digest)) == digest
    assert digest.algorithm == algorithm
    assert len(digest.hex) == HEX_LENGTH[algorithm]


@pytest.mark.parametrize(
    "text",
    ["", "sha256", "sha256:", "sha256:../../x", "sha256:" + "a" * 63, "sha256:" + "A" * 64, "sha256:" + "g" * 64,
     "md5:" + "a" * 32, "SHA256:" + "a" * 64, " sha256:" + "a" * 64, "sha256:" + "a" * 64 + "\n", "a" * 64],
)  # fmt: skip
def test_a_malformed_digest_is_refused(text: str) -> None:
    with pytest.raises(InvalidDigest):
        Digest(text)


def test_chain_ids_are_those_of_the_image_specification() -> None:
    diff_ids = [DiffID.of(b"0"), DiffID.of(b"1"), DiffID.of(b"2")]
    second = "sha256:" + hashlib.sha256(f"{diff_ids[0]} {diff_ids[1]}".encode()).hexdigest()
    third = "sha256:" + hashlib.sha256(f"{second} {diff_ids[2]}".encode()).hexdigest()
    assert chain_ids(diff_ids) == [ChainID(diff_ids[0]), ChainID(second), ChainID(third)]
    assert chain_ids([]) == []
