"""Characters: what names from outside are made of, checked without regular expressions (hot paths load none), and what
Go escapes."""

from __future__ import annotations

_HEX = frozenset("0123456789abcdef")
_PLAIN = frozenset("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_INNER = _PLAIN | frozenset("_.-")

#: What Go's ``encoding/json`` escapes so that HTML can hold it, for ``str.translate``.
GO_ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})


def is_hex(text: str, length: int = 64) -> bool:
    """Whether it is so many lower-case hexadecimal digits."""
    return len(text) == length and _HEX.issuperset(text)


def is_name(text: str, *, shortest: int = 2) -> bool:
    """Docker's grammar of names, ``[a-zA-Z0-9][a-zA-Z0-9_.-]+``: a path component that is no option and no ``..``."""
    return len(text) >= shortest and text[0] in _PLAIN and _INNER.issuperset(text)
