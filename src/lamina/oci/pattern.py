"""Go's ``path.Match``, which ``--filter reference=``, name arguments of ``images`` and the sources of ``COPY`` use."""

from __future__ import annotations

import re

from lamina.errors import InvalidArgument


class BadPattern(InvalidArgument):
    """The pattern is malformed."""

    def __init__(self) -> None:
        super().__init__("syntax error in pattern")


def compiled(pattern: str) -> re.Pattern[str]:
    """A regular expression: ``*`` and ``?`` stop at ``/``, ``[a-z]`` and ``[^a-z]`` are sets, ``\\`` quotes.

    :raises BadPattern: an open set, an empty set or a lone ``\\`` at the end.
    """
    out: list[str] = []
    position = 0
    while position < len(pattern):
        character = pattern[position]
        position += 1
        if character == "*":
            out.append("[^/]*")
        elif character == "?":
            out.append("[^/]")
        elif character == "[":
            expression, position = _set(pattern, position)
            out.append(expression)
        else:
            if character == "\\":
                character, position = _quoted(pattern, position)
            out.append(re.escape(character))
    return re.compile("".join(out) + r"\Z", re.DOTALL)


def _quoted(pattern: str, position: int) -> tuple[str, int]:
    if position >= len(pattern):
        raise BadPattern
    return pattern[position], position + 1


def _set(pattern: str, position: int) -> tuple[str, int]:
    """The set that begins after ``[`` and the position after its ``]``."""
    negated = pattern.startswith("^", position)
    position += negated
    ranges: list[str] = []
    while not (ranges and pattern.startswith("]", position)):
        low, position = _bound(pattern, position)
        high = low
        if pattern.startswith("-", position):
            high, position = _bound(pattern, position + 1)
        if low <= high:
            ranges.append(f"{re.escape(low)}-{re.escape(high)}")
        else:
            ranges.append("")  # Go matches nothing
    body = "".join(ranges)
    if not body:
        return ("[^/]" if negated else r"(?!)"), position + 1
    return (f"(?!/)[^{body}]" if negated else f"(?!/)[{body}]"), position + 1


def _bound(pattern: str, position: int) -> tuple[str, int]:
    if position >= len(pattern) or pattern[position] in "-]":
        raise BadPattern
    if pattern[position] == "\\":
        return _quoted(pattern, position + 1)
    return pattern[position], position + 1
