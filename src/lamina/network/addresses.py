"""Addresses as text, and ranges of them as numbers. (The standard library's module takes five milliseconds to load.)"""

from __future__ import annotations

from _socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from collections.abc import Iterator

from lamina.errors import InvalidArgument
from lamina.typing import NamedTuple


class InvalidAddress(InvalidArgument):
    """Not an address."""

    def __init__(self, text: str) -> None:
        super().__init__(f"invalid IP address: {text}")


class InvalidSubnet(InvalidArgument):
    """Not a range of addresses in CIDR notation."""

    def __init__(self, text: str) -> None:
        super().__init__(f"invalid CIDR address: {text}")


def version(text: str) -> int:
    """4 or 6. Raises :class:`InvalidAddress`."""
    return 4 if len(packed(text)) == 4 else 6


def packed(text: str) -> bytes:
    """4 or 16 bytes. Raises :class:`InvalidAddress`."""
    try:
        return inet_pton(AF_INET6 if ":" in text else AF_INET, text)
    except (OSError, ValueError):
        raise InvalidAddress(text) from None


def number(text: str) -> int:
    """Raises :class:`InvalidAddress`."""
    return int.from_bytes(packed(text), "big")


def is_address(text: str) -> bool:
    try:
        packed(text)
    except InvalidAddress:
        return False
    return True


def text_of(value: int, version: int) -> str:
    """The address of that number."""
    if version == 4:
        return inet_ntop(AF_INET, value.to_bytes(4, "big"))
    return inet_ntop(AF_INET6, value.to_bytes(16, "big"))


class Subnet(NamedTuple):
    """A range of addresses with a common prefix.

    :ivar base: its first address as a number.
    :ivar prefix: how many bits are common.
    :ivar version: 4 or 6.
    """

    base: int
    prefix: int
    version: int

    @classmethod
    def parse(cls, text: str) -> Subnet:
        """``172.17.0.0/16``; bits behind the prefix are dropped. Raises :class:`InvalidSubnet`."""
        address, slash, length = text.partition("/")
        bits = 128 if ":" in address else 32
        if not slash or not length.isdecimal() or not length.isascii() or int(length) > bits or not is_address(address):
            raise InvalidSubnet(text)
        host = bits - int(length)
        return cls(number(address) >> host << host, int(length), 6 if bits == 128 else 4)

    @classmethod
    def of(cls, destination: bytes, prefix: int) -> Subnet:
        """From an address as the kernel gives it."""
        host = len(destination) * 8 - prefix
        return cls(int.from_bytes(destination, "big") >> host << host, prefix, 4 if len(destination) == 4 else 6)

    @property
    def bits(self) -> int:
        return 32 if self.version == 4 else 128

    @property
    def size(self) -> int:
        """How many addresses."""
        return 1 << (self.bits - self.prefix)

    @property
    def last(self) -> int:
        """Its last address as a number."""
        return self.base + self.size - 1

    def __str__(self) -> str:
        return f"{text_of(self.base, self.version)}/{self.prefix}"

    def holds(self, value: int) -> bool:
        """Whether an address of the same version is in it."""
        return self.base <= value <= self.last

    def overlaps(self, other: Subnet) -> bool:
        return self.version == other.version and self.base <= other.last and other.base <= self.last

    def split(self, prefix: int) -> Iterator[Subnet]:
        """Its parts of that prefix."""
        for base in range(self.base, self.last + 1, 1 << (self.bits - prefix)):
            yield Subnet(base, prefix, self.version)


def mac_of(address: str) -> str:
    """Docker's hardware address for an address of version 4: ``02:42`` and its bytes."""
    return "02:42:" + ":".join(f"{byte:02x}" for byte in packed(address))


def mac_bytes(text: str) -> bytes:
    """Six bytes. Raises :class:`InvalidArgument` with Docker's text."""
    digits = text.replace("-", ":").split(":")
    try:
        raw = bytes(int(digit, 16) for digit in digits)
    except ValueError:
        raw = b""
    if len(raw) != 6 or any(len(digit) != 2 for digit in digits):
        raise InvalidArgument(f"invalid MAC address: {text}")
    return raw
