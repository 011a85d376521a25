"""``--chmod``: octal as Docker always had it, symbolic as BuildKit has it since Dockerfile 1.14 (``u=rwX,go=rX``)."""

from __future__ import annotations

import re

from lamina.errors import InvalidArgument
from lamina.typing import NamedTuple

_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=](?:[rwxXst]*|[ugo]))+)\Z")
_ACTION = re.compile(r"([-+=])([rwxXstugo]*)")
_SHIFTS = {"u": 6, "g": 3, "o": 0}
_BITS = {"r": 4, "w": 2, "x": 1}
_SPECIAL = {"u": 0o4000, "g": 0o2000, "o": 0}
_STICKY = 0o1000


class BadMode(InvalidArgument):
    """The text is neither; the message is Docker's."""

    def __init__(self, text: str) -> None:
        super().__init__(f"invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777")


class Permissions(NamedTuple):
    """What permissions files get.

    :ivar fixed: of everything, when that does not depend on what they were.
    :ivar actions: who, operator and what, to apply one after the other.
    """

    fixed: int | None = None
    actions: tuple[tuple[str, str, str], ...] = ()

    def of(self, mode: int, *, directory: bool) -> int:
        """From permissions that something has, those that it gets."""
        if self.fixed is not None:
            return self.fixed
        for who, operator, what in self.actions:
            mode = _changed(mode, who, operator, what, directory=directory)
        return mode


def parse(text: str) -> Permissions | None:
    """``None`` for an empty text. Raises :class:`BadMode`."""
    if not text:
        return None
    if text.isascii() and text.isdigit():
        if set(text) - set("01234567") or int(text, 8) > 0o7777:
            raise BadMode(text)
        return Permissions(int(text, 8))
    actions = []
    for clause in text.split(","):
        match = _CLAUSE.match(clause)
        if match is None:
            raise BadMode(text)
        who = match[1].replace("a", "ugo") or "ugo"
        actions += [(who, operator, what) for operator, what in _ACTION.findall(match[2])]
    return Permissions(None, tuple(actions))


def _changed(mode: int, who: str, operator: str, what: str, *, directory: bool) -> int:
    bits = cleared = 0
    for one in dict.fromkeys(who):
        shift = _SHIFTS[one]
        cleared |= 0o7 << shift | _SPECIAL[one]
        bits |= _wanted(mode, one, what, directory=directory)
    if "t" in what:
        bits |= _STICKY
    if operator == "+":
        return mode | bits
    if operator == "-":
        return mode & ~bits
    return mode & ~cleared | bits


def _wanted(mode: int, one: str, what: str, *, directory: bool) -> int:
    """The bits of one class that ``what`` names."""
    shift = _SHIFTS[one]
    if what in _SHIFTS:
        return (mode >> _SHIFTS[what] & 0o7) << shift
    bits = sum(bit << shift for letter, bit in _BITS.items() if letter in what)
    if "X" in what and (directory or mode & 0o111):
        bits |= 1 << shift
    return bits | (_SPECIAL[one] if "s" in what else 0)
