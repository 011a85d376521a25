"""What names that come from outside are made of, checked without regular expressions: hot paths load none."""

from __future__ import annotations

_HEX = frozenset("0123456789abcdef")
_PLAIN = frozenset("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_INNER = _PLAIN | frozenset("_.-")


def is_hex(text: str, length: int = 64) -> bool:
    """Whether it is so many lower-case hexadecimal digits."""
    return len(text) == length and _HEX.issuperset(text)


def is_name(text: str, *, shortest: int = 2) -> bool:
    """Docker's grammar of names, ``[a-zA-Z0-9][a-zA-Z0-9_.-]+``: a path component that is no option and no ``..``."""
    return len(text) >= shortest and text[0] in _PLAIN and _INNER.issuperset(text)
