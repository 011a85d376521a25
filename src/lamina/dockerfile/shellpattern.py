"""The patterns of ``${name#pattern}``, ``${name%pattern}`` and ``${name/pattern/text}``.

``*`` is any text and ``?`` any character, neither crossing a line's end; a backslash takes ``*``, ``?`` and itself
literally, and before ``}`` and ``/`` it vanishes. Sets of positions are bit masks, so that the time is linear in the
text for a given pattern: a hostile pattern cannot make it exponential.
"""

from __future__ import annotations

from lamina.dockerfile.failure import InvalidInstruction
from lamina.typing import NamedTuple

#: Characters that variables may put into a word: without a limit, thirty lines of ``ARG a=$a$a`` fill the memory.
LONGEST = 1 << 20


def too_long() -> InvalidInstruction:
    return InvalidInstruction(f"the expanded text is longer than {LONGEST >> 20} MiB")


class _Token(NamedTuple):
    kind: str  # "*", "?" or "" for a literal
    char: str = ""


class ShellPattern:
    """A parsed pattern. Raises :class:`InvalidInstruction` for a backslash before any other character."""

    def __init__(self, pattern: str) -> None:
        self._tokens = _tokens(pattern)

    def without_prefix(self, text: str, *, longest: bool) -> str:
        """``text`` less the shortest or the longest matching beginning."""
        end = self._end(text, self._tokens, longest)
        return text if end is None else text[end:]

    def without_suffix(self, text: str, *, longest: bool) -> str:
        """``text`` less the shortest or the longest matching end."""
        end = self._end(text[::-1], self._tokens[::-1], longest)
        return text if end is None else text[: len(text) - end]

    def replace(self, text: str, replacement: str, *, everywhere: bool) -> str:
        """``text`` with the first match, or every match, replaced; a match is as long as it can be.

        Raises :class:`InvalidInstruction` for a result longer than :data:`LONGEST`.
        """
        starts = f"{_advance(text[::-1], self._tokens[::-1], (1 << (len(text) + 1)) - 1):0{len(text) + 1}b}"
        out: list[str] = []
        copied = length = 0
        start = starts.find("1")
        while start >= 0:
            end = self._furthest(text, start)
            # An empty match that touches the match before it does not count.
            if end > copied or start == 0:
                out += text[copied:start], replacement
                length += len(replacement)
                if length > LONGEST:
                    raise too_long()
                copied = end
            start = starts.find("1", max(end, start + 1)) if everywhere else -1
        return "".join([*out, text[copied:]])

    def _furthest(self, text: str, start: int) -> int:
        """The end of the longest match that begins at ``start``, where one begins."""
        if all(token.kind != "*" for token in self._tokens):
            return start + len(self._tokens)
        reach = start - 1
        # Only a literal line end takes a match to the next line.
        for _ in range(1 + sum(token.char == "\n" for token in self._tokens)):
            reach = text.find("\n", reach + 1)
            if reach < 0:
                reach = len(text)
                break
        return start + (self._end(text[start:reach], self._tokens, longest=True) or 0)

    @staticmethod
    def _end(text: str, tokens: list[_Token], longest: bool) -> int | None:
        ends = _advance(text, tokens, 1)
        if not ends:
            return None
        return ends.bit_length() - 1 if longest else (ends & -ends).bit_length() - 1


def _tokens(pattern: str) -> list[_Token]:
    tokens: list[_Token] = []
    position = 0
    while position < len(pattern):
        char = pattern[position]
        position += 1
        if char in "*?":
            tokens.append(_Token(char))
            continue
        if char == "\\":
            following = pattern[position : position + 1]
            if following and following in "}/":
                continue
            if not following or following not in "*?\\":
                raise InvalidInstruction(
                    f"invalid pattern ({pattern}) in substitution: invalid escape '\\{following or chr(0xFFFD)}'"
                )
            char = following
            position += 1
        tokens.append(_Token("", char))
    return tokens


def _advance(text: str, tokens: list[_Token], positions: int) -> int:
    """Where matches of ``tokens`` end that begin at ``positions``; bit N stands for position N."""
    passable = ((1 << len(text)) - 1) ^ _mask(text, "\n")
    masks: dict[str, int] = {}
    for token in tokens:
        if not positions:
            return 0
        if token.kind == "*":
            # The carry of the addition runs from each position through all that can be passed.
            positions |= ((positions & passable) + passable) ^ passable
        elif token.kind == "?":
            positions = (positions & passable) << 1
        else:
            if token.char not in masks:
                masks[token.char] = _mask(text, token.char)
            positions = (positions & masks[token.char]) << 1
    return positions


def _mask(text: str, char: str) -> int:
    """Where ``char`` stands in ``text``."""
    return int("1".join("0" * len(part) for part in text[::-1].split(char)) or "0", 2)
