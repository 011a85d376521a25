"""Content digests: ``<algorithm>:<lower-case hex>``.

Format: OCI image-spec, ``descriptor.md``, section Digests. The registered algorithms are sha256, sha512 and
blake3; sha384 is what Docker's own implementation knows besides. A digest is a ``str`` so that it is JSON,
a dictionary key and a registry path as it stands, but only a validated one can be made: it is safe as a path
component after its colon is replaced.
"""

from __future__ import annotations

from lamina.errors import Corrupt, InvalidArgument
from lamina.typing import Protocol, Self

# Python's own code for documents of some kilobytes: OpenSSL's, in hashlib, is faster with bytes by the megabyte and
# takes longer to load than many a command runs.
try:
    from _sha2 import sha256 as _sha256
except ImportError:
    try:
        from _sha256 import sha256 as _sha256
    except ImportError:  # a build that has no other than OpenSSL's
        from hashlib import sha256 as _sha256

#: Registered algorithms and the length of their hex part.
HEX_LENGTH = {"sha256": 64, "sha384": 96, "sha512": 128, "blake3": 64}

#: Bytes up to which Python's own code is fast enough.
_SMALL = 1 << 16

_HEX = frozenset("0123456789abcdef")


class InvalidDigest(InvalidArgument):
    """The text is not a digest of a known algorithm.

    :ivar text: what was given.
    """

    def __init__(self, text: str, why: str = "invalid checksum digest format") -> None:
        super().__init__(why)
        self.text = text


class DigestMismatch(Corrupt):
    """Content does not have the digest that names it."""

    def __init__(self, what: str, expected: str, actual: str) -> None:
        super().__init__(f"{what}: content has digest {actual}, expected {expected}")
        self.expected = expected
        self.actual = actual


class Hasher(Protocol):
    """What :mod:`hashlib` objects share."""

    def update(self, data: bytes | bytearray | memoryview, /) -> object: ...
    def hexdigest(self) -> str: ...


class Digest(str):
    """A validated digest. Raises :class:`InvalidDigest` for anything else."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        algorithm, colon, hexpart = text.partition(":")
        length = HEX_LENGTH.get(algorithm)
        if length is None:
            raise InvalidDigest(text, "unsupported digest algorithm" if colon else "invalid checksum digest format")
        if len(hexpart) != length:
            raise InvalidDigest(text, "invalid checksum digest length")
        if not _HEX.issuperset(hexpart):
            raise InvalidDigest(text)
        return super().__new__(cls, text)

    @property
    def algorithm(self) -> str:
        return self.partition(":")[0]

    @property
    def hex(self) -> str:
        return self.partition(":")[2]

    @classmethod
    def of(cls, data: bytes) -> Self:
        """The sha256 digest of ``data``."""
        if len(data) <= _SMALL:
            return cls.from_hash(_sha256(data))
        state = hasher()
        state.update(data)
        return cls.from_hash(state)

    @classmethod
    def from_hash(cls, hasher: Hasher, algorithm: str = "sha256") -> Self:
        """The digest of what ``hasher`` has seen."""
        return str.__new__(cls, f"{algorithm}:{hasher.hexdigest()}")


class DiffID(Digest):
    """Digest of a layer's uncompressed tar (image-spec, ``config.md``)."""

    __slots__ = ()


class ChainID(Digest):
    """Digest of a stack of layers (image-spec, ``config.md``, "Layer ChainID")."""

    __slots__ = ()


class ImageID(Digest):
    """Digest of an image configuration's raw bytes."""

    __slots__ = ()


def hasher(algorithm: str = "sha256") -> Hasher:
    """A new hash object for a registered algorithm. Raises :class:`InvalidDigest` for another."""
    if algorithm == "blake3":
        import blake3

        blake: Hasher = blake3.blake3()
        return blake
    if algorithm not in HEX_LENGTH:
        raise InvalidDigest(algorithm, "unsupported digest algorithm")
    import hashlib

    return hashlib.new(algorithm)


def chain_id(parent: ChainID | None, diff_id: DiffID) -> ChainID:
    """ChainID of the stack ``parent`` with a layer ``diff_id`` on top."""
    if parent is None:
        return ChainID(diff_id)
    return ChainID.of(f"{parent} {diff_id}".encode())


def chain_ids(diff_ids: list[DiffID]) -> list[ChainID]:
    """ChainIDs of all stacks from the bottom layer up to each of ``diff_ids``."""
    chain: list[ChainID] = []
    parent: ChainID | None = None
    for diff_id in diff_ids:
        parent = chain_id(parent, diff_id)
        chain.append(parent)
    return chain
